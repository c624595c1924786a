"""Quantiles of Prometheus histograms, as `histogram_quantile` estimates them."""

import math
from collections.abc import Iterable

import msgspec

from kproxy.inspect.detection.endpoint import Sample


class Durations(msgspec.Struct, frozen=True, kw_only=True):
    """What a histogram tells, in seconds."""

    count: int
    mean: float
    p50: float
    p99: float


def durations(samples: Iterable[Sample], metric: str, **labels: str) -> Durations | None:
    """Summarize a histogram; None when it has no observations.

    Args:
        samples: of a whole exposition
        metric: the histogram's name, without `_bucket`
        labels: those that its samples must have; histograms that differ in other labels are added up
    """
    buckets: dict[float, float] = {}
    total = count = 0.0
    for sample in samples:
        if not sample.name.startswith(metric) or any(sample.labels.get(key) != labels[key] for key in labels):
            continue
        match sample.name.removeprefix(metric):
            case "_bucket":
                bound = float(sample.labels.get("le", "nan"))
                buckets[bound] = buckets.get(bound, 0.0) + sample.value
            case "_sum":
                total += sample.value
            case "_count":
                count += sample.value
    if not count:
        return None
    ordered = sorted(buckets.items())
    return Durations(count=int(count), mean=total / count, p50=quantile(ordered, 0.5), p99=quantile(ordered, 0.99))


def quantile(buckets: list[tuple[float, float]], share: float) -> float:
    """The value below which a share of the observations lies, taken as evenly spread within a bucket.

    Args:
        buckets: upper bounds in ascending order, each with how many observations are not above it
        share: between 0 and 1

    Returns:
        NaN without observations; in the last bucket, which has no upper bound, its lower one.
    """
    if not buckets or not buckets[-1][1]:
        return math.nan
    rank = share * buckets[-1][1]
    lower = below = 0.0
    for bound, cumulative in buckets:
        if cumulative >= rank:
            if math.isinf(bound):
                return lower
            within = cumulative - below
            return lower + (bound - lower) * ((rank - below) / within if within else 1.0)
        lower, below = bound, cumulative
    return lower
