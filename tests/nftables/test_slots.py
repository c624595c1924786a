"""Slots: dense, and as few of them changed as possible."""

from hypothesis import given
from hypothesis import strategies as st

from kproxy.backends.nftables.compile import arrange

ENDPOINTS = st.lists(st.binary(min_size=1, max_size=1), unique=True, max_size=12)


@given(present=ENDPOINTS, wanted=ENDPOINTS)
def test_every_endpoint_has_a_slot_and_few_change(present: list[bytes], wanted: list[bytes]) -> None:
    arranged = arrange(present, wanted)
    assert sorted(arranged) == sorted(wanted)
    changed = sum(before != after for before, after in zip(present, arranged, strict=False))
    gone = len(set(present) - set(wanted))
    come = len(set(wanted) - set(present))
    assert changed <= max(gone, come)
    if gone == 0:
        assert list(arranged[: len(present)]) == present
    if gone == come:
        assert changed == gone


def test_the_last_fills_the_hole() -> None:
    assert arrange([b"a", b"b", b"c", b"d"], [b"a", b"c", b"d"]) == [b"a", b"d", b"c"]


def test_a_new_start_is_in_the_order_wanted() -> None:
    assert arrange([], [b"b", b"a"]) == [b"b", b"a"]
