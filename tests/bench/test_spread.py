"""Intervals hold what they should, and tell a difference from noise."""

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


def test_nothing_is_compared_with_zero() -> None:
    assert ratio([[1.0]], [[0.0]]) is None


def test_the_same_samples_give_the_same_interval() -> None:
    assert spread(_rounds(1, 5.0)) == spread(_rounds(1, 5.0))
