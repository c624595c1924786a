"""Intervals hold what they should, and tell a difference from noise."""

import math
import random

import pytest

from kproxy.bench.results.spread import ratio, spread


def _rounds(seed: int, mean: float, rounds: int = 3, samples: int = 40) -> list[list[float]]:
    draw = random.Random(seed)
    return [[draw.gauss(mean, mean / 10) for _ in range(samples)] for _ in range(rounds)]


def test_the_interval_of_a_median_holds_the_true_one_most_of_the_time() -> None:
    held = 0
    for seed in range(20):
        median = spread(_rounds(seed, 10.0)).median
        assert median.low <= median.value <= median.high
        held += median.low <= 10.0 <= median.high
    assert held >= 15


def test_a_single_sample_is_its_own_interval() -> None:
    found = spread([[3.0]])
    assert found.median == (3.0, 3.0, 3.0)
    assert (found.samples, found.rounds, found.p99) == (1, 1, 3.0)


def test_a_ratio_of_the_same_thing_is_no_difference() -> None:
    found = ratio(_rounds(1, 10.0), _rounds(2, 10.0))
    assert found is not None
    assert not found.excludes_one
    assert found.value == pytest.approx(1.0, abs=0.1)


def test_a_ratio_of_two_is_a_difference() -> None:
    found = ratio(_rounds(1, 20.0), _rounds(2, 10.0))
    assert found is not None
    assert found.excludes_one
    assert found.low < 2.0 < found.high


def test_rounds_that_differ_widen_the_interval() -> None:
    alike = spread([[1.0, 1.1, 0.9] * 10, [1.0, 1.1, 0.9] * 10]).median
    apart = spread([[1.0, 1.1, 0.9] * 10, [2.0, 2.1, 1.9] * 10]).median
    assert apart.high - apart.low > 5 * (alike.high - alike.low)


@pytest.mark.parametrize("theirs", [[[0.0], [0.0]], [[1.0], [-1.0]]])
def test_nothing_is_compared_with_zero_or_less(theirs: list[list[float]]) -> None:
    assert ratio([[1.0], [1.0]], theirs) is None
    assert ratio(theirs, [[1.0], [1.0]]) is None


def test_a_single_round_has_no_say_in_what_rounds_differ_by() -> None:
    assert ratio([[3.0] * 50], [[1.0], [1.0]]) == (3.0, 0.0, math.inf)


def test_counts_that_never_differ_are_compared_exactly() -> None:
    assert ratio([[3.0], [3.0]], [[1.0], [1.0]]) == pytest.approx((3.0, 3.0, 3.0))
    assert spread([[3.0], [3.0]]).median == pytest.approx((3.0, 3.0, 3.0))


def test_a_round_with_another_sign_is_no_matter_of_logarithms() -> None:
    median = spread([[-1.0], [3.0], [1.0]]).median
    assert (median.low, median.high) == pytest.approx((1 - 4.3027 * 2 / 3**0.5, 1 + 4.3027 * 2 / 3**0.5))


@pytest.mark.parametrize("rounds", [2, 3, 5, 10])
def test_the_same_thing_is_called_different_once_in_twenty_times(rounds: int) -> None:
    """Rounds with luck of their own (a tenth) and many samples: resampling called two of five a difference."""
    draw = random.Random(rounds)
    runs, called = 400, 0
    for _ in range(runs):
        sides = []
        for _ in range(2):
            lucks = [draw.lognormvariate(0, 0.1) for _ in range(rounds)]
            sides.append([[luck * draw.lognormvariate(0, 0.05) for _ in range(20)] for luck in lucks])
        found = ratio(*sides)
        assert found is not None
        called += found.excludes_one
    assert called <= 0.08 * runs


def test_what_differs_by_a_fifth_is_found_in_five_rounds() -> None:
    draw = random.Random(1)
    found = 0
    for _ in range(100):
        ours, theirs = ([[draw.gauss(mean, 0.05)] for _ in range(5)] for mean in (1.2, 1.0))
        interval = ratio(ours, theirs)
        found += interval is not None and interval.low > 1
    assert found >= 90


def test_a_median_within_one_round_lies_between_its_order_statistics() -> None:
    # n = 10: the 2nd and the 9th of the ordered samples hold the median with 97.9 %, the 3rd and 8th with 89 %.
    assert spread([[float(n) for n in range(10)]]).median == (4.5, 1.0, 8.0)
    assert spread([[1.0, 2.0]]).median == (1.5, 1.0, 2.0)


def test_the_same_samples_give_the_same_interval() -> None:
    assert spread(_rounds(1, 5.0)) == spread(_rounds(1, 5.0))
