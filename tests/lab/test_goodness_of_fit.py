import random
from collections import Counter

import pytest

from kproxy.lab.goodness_of_fit import chi_square


# From the tables of the chi-square distribution: the statistic that chance exceeds once in twenty.
@pytest.mark.parametrize(("degrees", "critical"), [(1, 3.841), (2, 5.991), (3, 7.815), (9, 16.919), (49, 66.339)])
def test_against_tables(degrees: int, critical: float) -> None:
    # One endpoint too many and one too few, by as much as gives the statistic.
    share = 1_000_000
    excess = round((critical * share / 2) ** 0.5)
    observed = [share + excess, share - excess, *[share] * (degrees - 1)]
    statistic, probability = chi_square(observed)
    assert statistic == pytest.approx(critical, abs=0.01)
    assert probability == pytest.approx(0.05, abs=0.001)


def test_equal_counts_are_certain_to_be_exceeded() -> None:
    assert chi_square([50, 50, 50]) == (0.0, 1.0)
    assert chi_square([7]) == (0.0, 1.0)


def test_an_endpoint_without_answers_is_noticed() -> None:
    assert chi_square([100, 100, 0])[1] < 1e-6


def test_weights() -> None:
    draws = Counter(random.Random(1).choices("abc", weights=[1, 2, 5], k=10_000))
    observed = [draws[each] for each in "abc"]
    assert chi_square(observed, [1, 2, 5])[1] > 0.01
    assert chi_square(observed, [1, 1, 1])[1] < 1e-12


def test_nothing_observed() -> None:
    with pytest.raises(ValueError, match="observations"):
        chi_square([0, 0])
