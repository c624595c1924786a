"""A measured cost as a function of the number of Services."""

import math
from bisect import bisect_left
from typing import NamedTuple, Self

from kproxy.bench.results.schema import Result
from kproxy.bench.results.spread import quantile


class Estimate(NamedTuple):
    value: float
    extrapolated: bool
    """Whether it lies outside what was measured."""


class Curve(NamedTuple):
    """Medians at the measured numbers of Services, ascending; between them straight lines on logarithmic axes."""

    points: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, result: Result, contender: str, mode: str, figure: str) -> Self | None:
        """A figure of one mode; None where it was not measured."""
        points = sorted(
            (float(run.services), quantile(run.figures[figure].samples, 0.5))
            for run in result.runs
            if (run.contender, run.mode) == (contender, mode) and figure in run.figures
        )
        return cls(tuple(points)) if points else None

    def at(self, services: float) -> Estimate:
        """Interpolate; beyond the ends, go on as between the last two points, or level where there is one only.

        A cost that seems to fall with the number of Services falls by noise: beyond the ends it stays level.
        """
        xs = [x for x, _ in self.points]
        outside = not xs[0] <= services <= xs[-1]
        if len(self.points) == 1:
            return Estimate(self.points[0][1], outside)
        i = min(max(bisect_left(xs, services), 1), len(xs) - 1)
        (x0, y0), (x1, y1) = self.points[i - 1 : i + 1]
        if outside and y1 < y0:
            return Estimate(y1 if services > xs[-1] else y0, outside)
        if min(y0, y1) <= 0:
            share = (services - x0) / (x1 - x0)
            return Estimate(max(0.0, y0 + share * (y1 - y0)), outside)
        share = (math.log(services) - math.log(x0)) / (math.log(x1) - math.log(x0))
        return Estimate(math.exp(math.log(y0) + share * (math.log(y1) - math.log(y0))), outside)
