"""Which endpoints a Service port uses on this node: readiness, termination, locality, topology hints.

KEP-1669 (terminating endpoints), KEP-2433 and KEP-4444 (topology hints), KEP-3015 (same node), KEP-2086
(internal traffic policy).
"""

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple

import msgspec

from kproxy.services.addresses import Address


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """An endpoint of a slice, whatever its state."""

    address: Address
    ready: bool
    draining: bool
    """Serving while terminating: used when nothing ready is left."""
    local: bool
    zone_hints: frozenset[str] | None
    node_hints: frozenset[str] | None
    zone: str = ""
    weight: int = 1


_is_ready = attrgetter("ready")


class Placement(NamedTuple):
    """Where this proxy runs."""

    node: str
    zone: str


class Selection(NamedTuple):
    """Positions of the chosen candidates, by traffic policy."""

    cluster: Sequence[int]
    local: Sequence[int]
    has_endpoints: bool


def select(candidates: Sequence[Candidate], placement: Placement, *, cluster: bool, local: bool) -> Selection:
    """Choose the endpoints of a Service port.

    Args:
        candidates: all endpoints of the port, in any state
        placement: this node and its zone
        cluster: whether some address of the port uses the Cluster policy (external addresses always do, for
            pods and the node itself)
        local: whether some address uses the Local policy
    """
    everyone = range(len(candidates))
    ready = everyone if all(map(_is_ready, candidates)) else [i for i in everyone if candidates[i].ready]
    usable = ready or [i for i in everyone if candidates[i].draining]
    chosen: Sequence[int] = ()
    if cluster:
        # Hints count only when every ready endpoint has some.
        hints = ready and (candidates[ready[0]].node_hints or candidates[ready[0]].zone_hints)
        chosen = _near(candidates, ready, placement) if hints else usable
    here: Sequence[int] = ()
    if local:
        here = [i for i in ready if candidates[i].local] or [
            i for i in everyone if candidates[i].draining and candidates[i].local
        ]
    return Selection(chosen, here, bool(usable))


def _near(candidates: Sequence[Candidate], ready: Sequence[int], placement: Placement) -> Sequence[int]:
    """Those hinted to this node, else to its zone, else all."""

    def hinted(hints_of: Callable[[Candidate], frozenset[str] | None], place: str) -> list[int]:
        chosen = []
        for i in ready:
            hints = hints_of(candidates[i])
            if not hints:
                return []
            if place in hints:
                chosen.append(i)
        return chosen

    first = candidates[ready[0]]
    if first.node_hints and (same_node := hinted(lambda c: c.node_hints, placement.node)):
        return same_node
    if first.zone_hints and (same_zone := hinted(lambda c: c.zone_hints, placement.zone)):
        return same_zone
    return ready
