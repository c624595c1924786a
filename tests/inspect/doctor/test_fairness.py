"""When counts of connections are further apart than chance brings them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproxy.inspect.doctor.checks.balancing import is_uneven


@given(st.integers(2, 20), st.integers(20, 200), st.integers(0, 2**32))
def test_chance_alone_is_hardly_ever_found(kinds: int, each: int, seed: int) -> None:
    source = random.Random(seed)
    numbers = [0] * kinds
    for _ in range(kinds * each):
        numbers[source.randrange(kinds)] += 1
    assert not is_uneven(numbers)


@pytest.mark.parametrize(
    ("numbers", "uneven"),
    [
        ([57, 3], True),
        ([100, 100, 100, 0], False),
        ([300, 100, 100], True),
        ([30, 0], False),
        ([500], False),
        ([], False),
    ],
)
def test_examples(numbers: list[int], uneven: bool) -> None:
    assert is_uneven(numbers) is uneven
