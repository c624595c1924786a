"""Whether requests were spread as they should be: Pearson's chi-square test."""

import math
from collections.abc import Sequence


def chi_square(observed: Sequence[int], weights: Sequence[float] | None = None) -> tuple[float, float]:
    """Test counts against shares.

    Args:
        observed: the number of requests each endpoint answered; zeros for those that answered none.
        weights: the shares expected, up to a factor; equal ones if left out.

    Returns:
        The statistic, and the probability that chance alone makes it as large (the p-value).

    Raises:
        ValueError: nothing was observed, or the lengths differ.
    """
    weights = [1.0] * len(observed) if weights is None else weights
    total, weight = sum(observed), sum(weights)
    if not total or len(weights) != len(observed):
        raise ValueError("chi-square needs observations, and a weight for each")
    expected = [total * part / weight for part in weights]
    statistic = sum((count - share) ** 2 / share for count, share in zip(observed, expected, strict=True))
    return statistic, _survival(statistic, len(observed) - 1)


def _survival(x: float, degrees: int) -> float:
    """The chi-square distribution's upper tail, by the recurrence over its degrees of freedom."""
    if degrees == 0:
        return 1.0
    half = x / 2
    tail, step = (math.erfc(math.sqrt(half)), 1) if degrees % 2 else (math.exp(-half), 2)
    while step < degrees:
        tail += math.exp(step / 2 * math.log(half) - half - math.lgamma(step / 2 + 1)) if half else 0.0
        step += 2
    return min(1.0, tail)
