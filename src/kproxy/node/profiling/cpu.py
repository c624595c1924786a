"""Where the processor's time goes: the main thread's stack, looked at each time that 10 ms of it have been used.

The kernel's profiling timer (setitimer(2), ITIMER_PROF) stands still while the process sleeps, so that a profile
shows work and not waiting, and costs next to nothing.
"""

import asyncio
import signal
from collections import Counter
from types import FrameType

from kproxy.node.profiling.pprof import Frame, Stack

PERIOD_NS = 10_000_000
_DEEPEST = 128


class ProfilerBusyError(Exception):
    """Another profile is being taken."""


async def profile(seconds: float) -> Counter[Stack]:
    """Count the stacks that are seen; must be called in the main thread's event loop.

    Raises:
        ProfilerBusyError: somebody else does
    """
    samples: Counter[Stack] = Counter()

    def sample(_: int, frame: FrameType | None) -> None:
        samples[stack_of(frame)] += 1

    if signal.getsignal(signal.SIGPROF) is not signal.SIG_DFL:
        raise ProfilerBusyError("a CPU profile is being taken already")
    period = PERIOD_NS / 1e9
    signal.signal(signal.SIGPROF, sample)
    signal.siginterrupt(signal.SIGPROF, False)
    signal.setitimer(signal.ITIMER_PROF, period, period)
    try:
        await asyncio.sleep(seconds)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        # A last signal may be on its way; what it would do by default is to end the process.
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
    return samples


def stack_of(frame: FrameType | None) -> Stack:
    """A frame and those that called it, innermost first."""
    frames: list[Frame] = []
    while frame is not None and len(frames) < _DEEPEST:
        code = frame.f_code
        frames.append(Frame(code.co_qualname, code.co_filename, frame.f_lineno or code.co_firstlineno))
        frame = frame.f_back
    return tuple(frames)
