"""All objects of one resource, in the order of their keys, now and at any resourceVersion that history reaches."""

from bisect import bisect_right
from collections.abc import Callable, Iterator

from kproxy.apiserver.history import Event, EventType, History
from kproxy.apiserver.resources import Resource
from kproxy.apiserver.stored import Key, StoredObject


class Collection:
    """The current objects of a resource and the history that led to them."""

    def __init__(self, resource: Resource, history: History) -> None:
        self.resource = resource
        self.history = history
        self._objects: dict[Key, StoredObject] = {}
        self._sorted: list[Key] | None = []
        self._subscribers: set[Callable[[], None]] = set()

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[StoredObject]:
        return iter(self._objects.values())

    def get(self, key: Key) -> StoredObject | None:
        return self._objects.get(key)

    def put(self, obj: StoredObject) -> None:
        """Store a new or changed object and tell the subscribers."""
        previous = self._objects.get(obj.key)
        if previous is None:
            self._sorted = None
        self._objects[obj.key] = obj
        self._record("ADDED" if previous is None else "MODIFIED", obj, previous)

    def remove(self, last: StoredObject) -> None:
        """Drop an object; `last` is its final state, under the resourceVersion of the deletion."""
        previous = self._objects.pop(last.key)
        self._sorted = None
        self._record("DELETED", last, previous)

    def restore(self, obj: StoredObject) -> None:
        """Take an object as it was saved, without an event: nobody can be watching yet."""
        self._objects[obj.key] = obj
        self._sorted = None

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called, synchronously, after each change; returns what ends it."""
        self._subscribers.add(wake)
        return lambda: self._subscribers.discard(wake)

    def scan(self, after: Key | None = None, *, at: int | None = None) -> Iterator[StoredObject]:
        """Objects in the order of their keys, those past the key `after` only.

        With `at`, as they were at that resourceVersion, which must not be below the history's floor. The
        iterator reads live state: use it up before the next write.
        """
        past = self._differences_since(at) if at is not None else {}
        keys = self._keys()
        if past:
            gone = [key for key in past if key not in self._objects]
            keys = sorted([*keys, *gone]) if gone else keys
        for key in keys[bisect_right(keys, after) :] if after is not None else keys:
            obj = past[key] if key in past else self._objects[key]
            if obj is not None:
                yield obj

    def _differences_since(self, resource_version: int) -> dict[Key, StoredObject | None]:
        """What the objects that have changed since were then; None for those that did not exist."""
        past: dict[Key, StoredObject | None] = {}
        for event in self.history.after(resource_version):
            past.setdefault(event.obj.key, event.previous)
        return past

    def _keys(self) -> list[Key]:
        if self._sorted is None:
            self._sorted = sorted(self._objects)
        return self._sorted

    def _record(self, type_: EventType, obj: StoredObject, previous: StoredObject | None) -> None:
        self.history.append(Event(type_, obj, previous))
        for wake in tuple(self._subscribers):
            wake()
