"""A resource's latest changes, bounded: what watches replay, and what lists of the past are computed from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kproxy.apiserver.stored import StoredObject

EventType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One write. `previous` is the object before it; `obj` the one after it, or, for a deletion, the last one
    under the deletion's own resourceVersion.
    """

    type: EventType
    obj: StoredObject
    previous: StoredObject | None

    @property
    def resource_version(self) -> int:
        return self.obj.resource_version


class History:
    """A ring of the last `capacity` events, in the order of their resourceVersions.

    `floor` is the newest resourceVersion that is *not* known event by event: whoever has seen everything up
    to it, or later, can go on from here; whoever is older must list anew.
    """

    def __init__(self, capacity: int, floor: int) -> None:
        if capacity < 1:
            raise ValueError(f"the history must hold at least one event, not {capacity}")
        self.floor = floor
        self._ring: list[Event | None] = [None] * capacity
        self._next = 0

    def emptied(self, floor: int) -> "History":
        """A history of the same capacity that knows nothing up to `floor`."""
        return History(len(self._ring), floor)

    def append(self, event: Event) -> None:
        slot = self._next % len(self._ring)
        evicted = self._ring[slot]
        if evicted is not None:
            self.floor = evicted.resource_version
        self._ring[slot] = event
        self._next += 1

    def after(self, resource_version: int) -> Iterator[Event]:
        """The events later than a resourceVersion, which must not be below the floor, oldest first."""
        for position in range(self._first_after(resource_version), self._next):
            yield self._at(position)

    def _first_after(self, resource_version: int) -> int:
        low, high = max(0, self._next - len(self._ring)), self._next
        while low < high:
            middle = (low + high) // 2
            if self._at(middle).resource_version <= resource_version:
                low = middle + 1
            else:
                high = middle
        return low

    def _at(self, position: int) -> Event:
        event = self._ring[position % len(self._ring)]
        if event is None:
            raise IndexError(position)
        return event
