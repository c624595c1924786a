"""Where memory goes: what was allocated while somebody watched, and is still there.

Python keeps no record of allocations unless it is told to (tracemalloc), which makes it about twice as slow; so that
is done only as long as a profile is being taken.
"""

import asyncio
import gc
import sys
import tracemalloc
from pathlib import Path
from typing import NamedTuple

from kproxy.node.profiling.cpu import ProfilerBusyError
from kproxy.node.profiling.pprof import Frame, Stack

_DEEPEST = 16
_STATUS = Path("/proc/self/status")


class Allocated(NamedTuple):
    objects: int
    bytes: int


async def profile(seconds: float) -> dict[Stack, Allocated]:
    """Watch this process's allocations.

    Raises:
        ProfilerBusyError: somebody else does
    """
    if tracemalloc.is_tracing():
        raise ProfilerBusyError("a heap profile is being taken already")
    tracemalloc.start(_DEEPEST)
    try:
        await asyncio.sleep(seconds)
        snapshot = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    found: dict[Stack, Allocated] = {}
    for statistic in snapshot.statistics("traceback"):
        frames = reversed(statistic.traceback)  # innermost first
        stack = tuple(Frame(f"{Path(f.filename).stem}:{f.lineno}", f.filename, f.lineno) for f in frames)
        found[stack] = Allocated(statistic.count, statistic.size)
    return found


def summary() -> str:
    """What is known without watching: the process's memory, and the collector's work."""
    lines = [line for line in _STATUS.read_text(encoding="utf-8").splitlines() if line.startswith(("VmRSS", "VmHWM"))]
    lines.append(f"allocated blocks: {sys.getallocatedblocks()}")
    lines.append(f"objects that the collector passes over: {gc.get_freeze_count()}")
    for generation, (young, counts) in enumerate(zip(gc.get_count(), gc.get_stats(), strict=True)):
        work = ", ".join(f"{name} {count}" for name, count in counts.items())
        lines.append(f"generation {generation}: {young} due, {work}")
    return "\n".join(lines) + "\n"
