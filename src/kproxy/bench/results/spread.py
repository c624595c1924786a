"""Medians and ratios with the range that they may as well have had: percentile bootstrap (Efron, 1979).

Samples of one round have the round's luck in common (a process's memory layout, a neighbour's load), so rounds are
drawn first, and samples out of the rounds drawn.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Values: TypeAlias = NDArray[np.float64]
_DRAWS: Final = 1000
_CONFIDENCE: Final = 0.95
_SEED: Final = 20260101
"""The same samples give the same intervals, on any machine."""


class Interval(NamedTuple):
    """A value, and the bounds of its 95 % confidence interval."""

    value: float
    low: float
    high: float

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
    """What a figure's samples say; there must be at least one."""
    return _spread(tuple(map(tuple, rounds)))


@lru_cache(maxsize=4096)
def _spread(rounds: tuple[tuple[float, ...], ...]) -> Spread:
    """Remembered: tables and charts ask for the same figures."""
    samples = np.concatenate(rounds)
    p90, p99 = np.quantile(samples, (0.9, 0.99))
    return Spread(
        len(samples),
        len(rounds),
        _interval(float(np.median(samples)), _medians(rounds, np.random.default_rng(_SEED))),
        float(p90),
        float(p99),
        float(samples.min()),
        float(samples.max()),
    )


def ratio(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> Interval | None:
    """Our median as a multiple of theirs; None where theirs is 0."""
    generator = np.random.default_rng(_SEED)
    ours_drawn, theirs_drawn = _medians(ours, generator), _medians(theirs, generator)
    base = float(np.median(np.concatenate([np.asarray(each, dtype=float) for each in theirs])))
    if base == 0 or not theirs_drawn.all():
        return None
    value = float(np.median(np.concatenate([np.asarray(each, dtype=float) for each in ours]))) / base
    return _interval(value, ours_drawn / theirs_drawn)


def _interval(value: float, drawn: _Values) -> Interval:
    low, high = np.quantile(drawn, ((1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2))
    return Interval(value, min(value, float(low)), max(value, float(high)))


def _medians(rounds: Sequence[Sequence[float]], generator: np.random.Generator) -> _Values:
    """Medians of samples drawn with replacement, as many from each of the rounds that were drawn with replacement."""
    lengths = np.array([len(each) for each in rounds])
    most = int(lengths.max())
    padded = np.zeros((len(rounds), most))
    for number, each in enumerate(rounds):
        padded[number, : len(each)] = each
    chosen = generator.integers(len(rounds), size=(_DRAWS, len(rounds), 1))
    positions = (generator.random((_DRAWS, len(rounds), most)) * lengths[chosen]).astype(int)
    medians: _Values = np.median(padded[chosen, positions].reshape(_DRAWS, -1), axis=1)
    return medians
