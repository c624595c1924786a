"""What a process has used, the programs that it ran included (proc(5))."""

import asyncio
import contextlib
import os
import time
from pathlib import Path
from typing import Final, NamedTuple, Self

AT_REST: Final = 0.02
"""Share of a core below which a proxy counts as done with its start: the other IP family, comparisons, collections."""
_SETTLE: Final = 0.5
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CHILDREN_USER, _CHILDREN_SYSTEM = 13, 14
"""Columns of /proc/PID/stat after the name in parentheses."""


class Usage(NamedTuple):
    """CPU in seconds, memory in bytes."""

    cpu: float
    resident: int
    peak: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Of a process, its workers (children that still run) and those that it has waited for.

        Raises:
            OSError: it has ended
        """
        found = cls(_threads(pid) + _waited_for(pid), *_memory(pid))
        for child in _children(pid):
            # A program that ends meanwhile is found among those waited for the next time.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                cpu, resident, peak = cls.of(child)
                found = cls(found.cpu + cpu, found.resident + resident, found.peak + peak)
        return found


async def at_rest(pid: int, patience: float) -> float:
    """Wait until a process has nothing more to do; gives the share of a core that it still used at the end.

    More than `AT_REST`: patience, in seconds, was over.

    Raises:
        OSError: it has ended
    """
    deadline = time.monotonic() + patience
    while True:
        begin, at = Usage.of(pid).cpu, time.monotonic()
        await asyncio.sleep(_SETTLE)
        busy = (Usage.of(pid).cpu - begin) / (time.monotonic() - at)
        if busy <= AT_REST or time.monotonic() > deadline:
            return busy


def _threads(pid: int) -> float:
    """Seconds that a process's threads have run, to the nanosecond."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _waited_for(pid: int) -> float:
    columns = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(columns[_CHILDREN_USER]) + int(columns[_CHILDREN_SYSTEM])) / _TICKS


def _memory(pid: int) -> tuple[int, int]:
    """Resident memory now, and at its peak; a process that has ended and is not waited for yet has none."""
    told = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    now, peak = (int(told[key].split()[0]) * 1024 if key in told else 0 for key in ("VmRSS", "VmHWM"))
    return now, peak


def _children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text(encoding="ascii").split()
    ]
