"""How the proxy of a node is made to read its configuration anew."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kproxy.inspect.detection.processes import ProxyProcess
from kproxy.inspect.detection.supervision import supervision
from kproxy.kernel.processes import ProcessError, run
from kproxy.switch.plan import SwitchError

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
        by = supervision(process.pid, proc)
        if by.in_pod:
            raise SwitchError(f"{process} runs in a container: switch its DaemonSet with --cluster")
        if by.unit:
            return Restart(("systemctl", "restart", by.unit))
    return Restart(())
