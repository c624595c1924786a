"""Medians and ratios, with the range that they may as well have had.

Samples of one round have the round's luck in common (a process's memory layout, a neighbour's load), so a round counts
as one observation, its median, however many samples it has: Student's t over rounds, on logarithms wherever values are
positive (times are skewed, and a ratio is a difference of logarithms), in Welch's form for two unlike contenders
(Welch, 1947).
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Values: TypeAlias = NDArray[np.float64]
_NORMAL: Final = 1.959964
"""The 97.5 % quantile of the normal distribution."""
_STUDENT: Final = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
)
"""The 97.5 % quantiles of Student's t, for 1, 2, 3… degrees of freedom."""


class Interval(NamedTuple):
    """A value, and the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float

    @property
    def bounded(self) -> bool:
        """For a ratio: whether there were rounds enough to tell how far it may be off."""
        return math.isfinite(self.high)

    @property
    def excludes_one(self) -> bool:
        """For a ratio: whether the two differ by more than chance explains."""
        return self.low > 1.0 or self.high < 1.0


class Spread(NamedTuple):
    """Of all samples of a figure."""

    samples: int
    rounds: int
    median: Interval
    p90: float
    p99: float
    least: float
    most: float


def quantile(samples: Sequence[float], share: float) -> float:
    """The value that a share (0 to 1) of the samples does not exceed; the samples must not be empty."""
    return float(np.quantile(np.asarray(samples, dtype=float), share))


def spread(rounds: Sequence[Sequence[float]]) -> Spread:
    """What a figure's samples say; there must be at least one.

    The interval of a single round's median is that of its samples alone, as if other rounds could not be unlike it.
    """
    return _spread(tuple(map(tuple, rounds)))


@lru_cache(maxsize=4096)
def _spread(rounds: tuple[tuple[float, ...], ...]) -> Spread:
    """Remembered: tables and charts ask for the same figures."""
    samples = np.concatenate(rounds)
    p90, p99 = np.quantile(samples, (0.9, 0.99))
    low, high = _between_rounds(_medians(rounds)) if len(rounds) > 1 else _within_round(np.sort(samples))
    return Spread(
        len(samples),
        len(rounds),
        _interval(float(np.median(samples)), low, high),
        float(p90),
        float(p99),
        float(samples.min()),
        float(samples.max()),
    )


def ratio(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> Interval | None:
    """Our median as a multiple of theirs; None where a round's median is 0 or less.

    Between 0 and infinity where either has a single round: how much rounds differ is not known then.
    """
    logarithms = []
    for medians in (_medians(ours), _medians(theirs)):
        if medians.min() <= 0:
            return None
        logarithms.append(np.log(medians))
    value = float(np.median(np.concatenate(ours)) / np.median(np.concatenate(theirs)))
    if min(len(ours), len(theirs)) < 2:
        return Interval(value, 0.0, math.inf)
    first, second = logarithms
    parts = [float(each.var(ddof=1)) / len(each) for each in logarithms]
    margin = 0.0
    if (variance := sum(parts)) > 0:
        freedom = variance**2 / sum(part**2 / (len(each) - 1) for part, each in zip(parts, logarithms, strict=True))
        margin = _student(freedom) * math.sqrt(variance)
    middle = float(first.mean() - second.mean())
    return _interval(value, math.exp(middle - margin), math.exp(middle + margin))


def _interval(value: float, low: float, high: float) -> Interval:
    """Always with the value in it: the median of all samples need not be the middle of the rounds' medians."""
    return Interval(value, min(value, low), max(value, high))


def _medians(rounds: Sequence[Sequence[float]]) -> _Values:
    return np.array([np.median(each) for each in rounds])


def _between_rounds(medians: _Values) -> tuple[float, float]:
    logarithmic = medians.min() > 0
    values = np.log(medians) if logarithmic else medians
    margin = _student(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    low, high = float(values.mean()) - margin, float(values.mean()) + margin
    return (math.exp(low), math.exp(high)) if logarithmic else (low, high)


def _within_round(ordered: _Values) -> tuple[float, float]:
    """The order statistics that enclose the median, by the binomial distribution of how many samples lie below it."""
    below = max(round((len(ordered) - _NORMAL * math.sqrt(len(ordered))) / 2), 1)
    return float(ordered[below - 1]), float(ordered[-below])


def _student(freedom: float) -> float:
    """The 97.5 % quantile, of the next lower whole number of degrees; beyond the table's end its last, 6 % too much."""
    degrees = max(math.floor(freedom + 1e-9), 1)
    return _STUDENT[min(degrees, len(_STUDENT)) - 1]
