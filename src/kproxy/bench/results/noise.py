"""How quiet the machine was: a fixed computation timed all over the run, and what others did with the cores."""

import os
import time
from pathlib import Path
from typing import Final, NamedTuple

from kproxy.bench.results.schema import Noise
from kproxy.bench.results.spread import quantile

_LOOP: Final = 40_000
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ, _STEAL = 0, 1, 2, 5, 6, 7
"""Columns of the line `cpu` in /proc/stat."""


class _Moment(NamedTuple):
    clock: float
    busy: float
    """Seconds of all cores together."""
    stolen: float
    own: float
    """Of this process and the children that it has waited for."""


class NoiseMeter:
    """Made at the start of a run, asked at its end."""

    def __init__(self) -> None:
        self._begin = _moment()
        self._load = os.getloadavg()[0]
        self._loops: list[float] = []

    def probe(self) -> None:
        """Time the computation, some milliseconds; call it now and then."""
        for _ in range(3):
            begin = time.perf_counter()
            total = 0
            for number in range(_LOOP):
                total += number & 7
            self._loops.append(time.perf_counter() - begin)

    def result(self) -> Noise:
        """What it was like until now. Children that still run count as others."""
        end = _moment()
        elapsed = max(end.clock - self._begin.clock, 1e-9)
        busy, own = end.busy - self._begin.busy, end.own - self._begin.own
        return Noise(
            loops=[float(f"{loop:.6g}") for loop in self._loops],
            load_before=self._load,
            load_after=os.getloadavg()[0],
            others=max(0.0, busy - own) / elapsed,
            stolen=(end.stolen - self._begin.stolen) / elapsed,
        )


def in_words(noise: Noise) -> str:
    """One sentence for a report."""
    words = (
        f"load {noise.load_before:.1f} before and {noise.load_after:.1f} after; others kept {noise.others:.2f} cores "
        f"busy on average, the hypervisor withheld {noise.stolen:.2f}"
    )
    if not noise.loops:
        return words
    median, p90, slowest = (quantile(noise.loops, share) for share in (0.5, 0.9, 1.0))
    return (
        f"{words}; one and the same computation, timed {len(noise.loops)} times over the run, took "
        f"{median * 1000:.2f} ms in the median, {p90 / median - 1:.0%} longer in the slowest tenth, "
        f"and {slowest / median:.1f} × as long once"
    )


def _moment() -> _Moment:
    columns = [
        int(text) / _TICKS for text in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    ]
    times = os.times()
    return _Moment(
        time.monotonic(),
        sum(columns[i] for i in (_USER, _NICE, _SYSTEM, _IRQ, _SOFTIRQ)),
        columns[_STEAL],
        times.user + times.system + times.children_user + times.children_system,
    )
