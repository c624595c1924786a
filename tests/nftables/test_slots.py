"""Slots: dense, and as few of them changed as possible."""

from hypothesis import given
from hypothesis import strategies as st

from kproxy.backends.nftables.slots import arrange, by_weight, own_slots
from kproxy.services.model import Endpoint

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


def test_weights_become_the_fewest_slots() -> None:
    heavy, light = (
        Endpoint(b"\x0a\0\0\x01", 80, local=False, weight=40),
        Endpoint(b"\x0a\0\0\x02", 80, local=False, weight=20),
    )
    slots = by_weight([heavy, light])
    assert len(slots) == 3
    assert sorted(map(slots.count, set(slots))) == [1, 2]


def test_what_weighs_nothing_gets_nothing_unless_all_do() -> None:
    none, some = Endpoint(b"\x0a\0\0\x01", 80, local=False, weight=0), Endpoint(b"\x0a\0\0\x02", 80, local=False)
    assert len(by_weight([none, some])) == 1
    assert len(by_weight([none, none])) == 1


@given(weights=st.lists(st.integers(0, 100), min_size=1, max_size=300))
def test_slots_by_weight_keep_their_proportions(weights: list[int]) -> None:
    endpoints = [Endpoint(i.to_bytes(4, "big"), 80, local=False, weight=w) for i, w in enumerate(weights)]
    slots = by_weight(endpoints)
    assert 0 < len(slots) <= 1400
    total = sum(weights) or len(weights)
    for i, weight in enumerate(weights):
        share = slots.count(i.to_bytes(4, "big") + b"\x00\x50\0\0") / len(slots)
        wanted = (weight if any(weights) else 1) / total
        assert abs(share - wanted) <= 0.003
        assert (share > 0) == (wanted > 0)


@given(endpoints=st.lists(st.binary(min_size=8, max_size=8), unique=True, max_size=50))
def test_an_endpoints_own_slot_is_its_own(endpoints: list[bytes]) -> None:
    slots = own_slots(sorted(endpoints))
    assert len(set(slots.values())) == len(endpoints)
    assert all(int.from_bytes(slot, "little") > 0xFFFF for slot in slots.values())
