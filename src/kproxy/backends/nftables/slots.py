"""Slots: the numbers under which a destination's endpoints stand in the endpoint maps."""

import itertools
import math
import sys
import zlib
from collections.abc import Sequence

from kproxy.backends.nftables.balancers import MAX_ENDPOINTS
from kproxy.services.model import Endpoint

_slot_numbers: list[bytes] = []


def slot_numbers(count: int) -> list[bytes]:
    """The numbers from 0 as keys hold them, at least `count` of them."""
    _slot_numbers.extend(i.to_bytes(4, sys.byteorder) for i in range(len(_slot_numbers), count))
    return _slot_numbers


def encode_endpoint(endpoint: Endpoint) -> bytes:
    """`address . port`."""
    return endpoint.address + endpoint.port.to_bytes(2, "big") + b"\0\0"


def arrange(present: Sequence[bytes], wanted: Sequence[bytes]) -> Sequence[bytes]:
    """Give each wanted endpoint a slot, so that slots are numbered from 0 and as few as possible change.

    An endpoint that stays keeps its slot; new ones take the slots of those that go; what is left of those is
    filled from the end. With nothing present the order is that of `wanted`.
    """
    if not present:
        return wanted
    missing = dict.fromkeys(wanted)
    slots: list[bytes | None] = []
    for endpoint in present:
        if endpoint in missing:
            del missing[endpoint]
            slots.append(endpoint)
        else:
            slots.append(None)
    newcomers = iter(missing)
    holes = []
    for i, slot in enumerate(slots):
        if slot is None:
            slots[i] = next(newcomers, None)
            if slots[i] is None:
                holes.append(i)
    slots.extend(newcomers)
    for hole in holes:
        while slots and slots[-1] is None:
            slots.pop()
        if hole >= len(slots):
            break
        slots[hole] = slots.pop()
    return [slot for slot in slots if slot is not None]


_FIRST_OWN_SLOT = 1 << 16
"""Numbers below are drawn by balancers."""


def own_slots(endpoints: Sequence[bytes]) -> dict[bytes, bytes]:
    """Give each endpoint a slot that depends on itself: the same after it has been away, or after a restart.

    Where two of a destination's endpoints hash to one slot, the second in their order takes the next one.
    """
    taken = set()
    slots = {}
    for endpoint in endpoints:
        slot = zlib.crc32(endpoint) | _FIRST_OWN_SLOT
        while slot in taken:
            slot = (slot + 1) & 0xFFFFFFFF | _FIRST_OWN_SLOT
        taken.add(slot)
        slots[endpoint] = slot.to_bytes(4, sys.byteorder)
    return slots


MAX_WEIGHTED_SLOTS = 1024
"""Slots over which the weights of a destination are spread; finer differences are rounded."""


def by_weight(endpoints: Sequence[Endpoint]) -> Sequence[bytes]:
    """Each endpoint as often as its weight says, the smallest numbers with the same proportions.

    An endpoint that weighs nothing gets nothing, unless all weigh nothing: then each has its share.
    """
    weights = {encode_endpoint(endpoint): endpoint.weight for endpoint in endpoints}
    if not any(weights.values()):
        weights = dict.fromkeys(weights, 1)
    divisor = math.gcd(*weights.values())
    total = sum(weights.values()) // divisor
    if total > MAX_WEIGHTED_SLOTS:
        scale = MAX_WEIGHTED_SLOTS / total / divisor
        weights = {endpoint: max(1, round(weight * scale)) if weight else 0 for endpoint, weight in weights.items()}
        divisor = 1
    shares = [[endpoint] * (weights[endpoint] // divisor) for endpoint in sorted(weights)]
    return list(itertools.chain.from_iterable(shares))[:MAX_ENDPOINTS]


def number(key: bytes, data: Sequence[bytes]) -> bytes:
    """Records of consecutive numbers under a destination."""
    return b"".join([key + n + d for n, d in zip(slot_numbers(len(data)), data, strict=False)])
