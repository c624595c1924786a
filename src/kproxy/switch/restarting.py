"""How the proxy of a node is made to read its configuration anew."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kproxy.inspect.detection.processes import ProxyProcess
from kproxy.kernel.processes import ProcessError, run
from kproxy.switch.plan import SwitchError

_UNIT = re.compile(r"/([^/]+\.service)$")
_TIMEOUT = 60.0


class Restart(NamedTuple):
    """Empty: the proxy is left to notice by itself that its file has changed."""

    command: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.command) or "the proxy reads its changed file by itself"

    async def perform(self) -> None:
        """Do it.

        Raises:
            SwitchError: the command failed
        """
        if self.command:
            try:
                await run(self.command, time_limit=_TIMEOUT)
            except ProcessError as error:
                raise SwitchError(f"the proxy cannot be restarted: {error}") from error


def find_restart(processes: Sequence[ProxyProcess], proc: Path = Path("/proc")) -> Restart:
    """The way for the proxy that runs here: its systemd unit, if it has one.

    Raises:
        SwitchError: it runs in a pod, whose configuration is the cluster's
    """
    for process in processes:
        try:
            groups = (proc / str(process.pid) / "cgroup").read_text(encoding="utf-8")
        except OSError:
            continue  # it has ended
        if "kubepods" in groups or "/docker" in groups:
            raise SwitchError(f"{process} runs in a container: switch its DaemonSet with --cluster")
        for line in groups.splitlines():
            if unit := _UNIT.search(line):
                return Restart(("systemctl", "restart", unit.group(1)))
    return Restart(())
