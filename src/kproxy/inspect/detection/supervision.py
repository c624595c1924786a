"""Who has started a proxy: systemd, or a kubelet."""

import re
from pathlib import Path
from typing import NamedTuple

_UNIT = re.compile(r"/([^/]+\.service)$", re.MULTILINE)


class Supervision(NamedTuple):
    """What starts a process again when it ends."""

    unit: str
    """Of systemd; empty: none."""
    in_pod: bool

    def __bool__(self) -> bool:
        return bool(self.unit) or self.in_pod


def supervision(pid: int, proc: Path = Path("/proc")) -> Supervision:
    """By the control groups of a process (cgroups(7)); nothing when it has ended, or may not be looked at."""
    try:
        groups = (proc / str(pid) / "cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Supervision("", in_pod=False)
    in_pod = "kubepods" in groups or "/docker" in groups
    unit = _UNIT.search(groups)
    return Supervision("" if in_pod or unit is None else unit.group(1), in_pod)
