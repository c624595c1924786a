import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproxy.config.duration import Duration

NANOSECONDS = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("0s", 0),
        ("-0", 0),
        ("+5s", 5_000_000_000),
        ("1h2m3.5s", 3_723_500_000_000),
        ("15m0s", 900_000_000_000),
        ("1.5h", 5_400_000_000_000),
        (".5s", 500_000_000),
        ("1.s", 1_000_000_000),
        ("-300ms", -300_000_000),
        ("7ns", 7),
        ("2us", 2_000),
        ("2µs", 2_000),
        ("2μs", 2_000),
        ("1s1h", 3_601_000_000_000),
        ("0.0000000001s", 0),
    ],
)
def test_parses_what_go_parses(text: str, nanoseconds: int) -> None:
    assert Duration.parse(text).nanoseconds == nanoseconds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("-", "is empty"),
        ("30", 'write "30s"'),
        ("3 s", "is not a duration"),
        ("s", "is not a duration"),
        (".s", "is not a duration"),
        ("1d", "is not a duration"),
        ("1e3s", "is not a duration"),
        ("1s ", "is not a duration"),
        ("٣s", "is not a duration"),
        ("9223372036854775808ns", "64 bits"),
        ("9" * 100 + "h", "64 bits"),
        ("1" * 5000 + "h", "too long"),
    ],
)
def test_refuses_the_rest_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Duration.parse(text)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (245_000_000_000, "4m5s"),
        (245_001_000_000, "4m5.001s"),
        (3_600_000_000_000, "1h0m0s"),
        (18_367_001_000_000, "5h6m7.001s"),
        (86_400_000_000_000, "24h0m0s"),
        (480_000_000_001, "8m0.000000001s"),
        (-1, "-1ns"),
        (-(2**63), "-2562047h47m16.854775808s"),
    ],
)
def test_prints_as_go_prints(nanoseconds: int, text: str) -> None:
    assert str(Duration(nanoseconds)) == text


@given(NANOSECONDS)
def test_what_is_printed_reads_back(nanoseconds: int) -> None:
    duration = Duration(nanoseconds)
    if nanoseconds != -(2**63):
        assert Duration.parse(str(duration)) == duration


@given(NANOSECONDS, NANOSECONDS)
def test_orders_by_length(first: int, second: int) -> None:
    assert (Duration(first) < Duration(second)) == (first < second)
    assert (Duration(first) == Duration(second)) == (first == second)


def test_is_a_value() -> None:
    assert len({Duration(5), Duration.parse("5ns")}) == 1
    assert Duration.of(hours=1, milliseconds=5).seconds == 3600.005
    with pytest.raises(AttributeError, match="immutable"):
        Duration(1).nanoseconds = 2
