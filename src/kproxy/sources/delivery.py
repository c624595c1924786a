"""One kind's objects, handed to the sink once a version."""

import logging
from typing import Generic

from kproxy.sources.sink import Sink
from kproxy.sources.wire import BadObject, T

log = logging.getLogger(__name__)


class _Versions:
    """The resourceVersion of each object, by namespace and name, without a tuple for each."""

    def __init__(self) -> None:
        self._by_namespace: dict[str, dict[str, str]] = {}

    def get(self, namespace: str, name: str) -> str | None:
        return self._by_namespace.get(namespace, {}).get(name)

    def set(self, namespace: str, name: str, version: str) -> None:
        self._by_namespace.setdefault(namespace, {})[name] = version

    def discard(self, namespace: str, name: str) -> bool:
        names = self._by_namespace.get(namespace, {})
        if names.pop(name, None) is None:
            return False
        if not names:
            del self._by_namespace[namespace]
        return True

    def missing_from(self, other: "_Versions") -> list[tuple[str, str]]:
        return [
            (namespace, name)
            for namespace, names in self._by_namespace.items()
            for name in names.keys() - other._by_namespace.get(namespace, {}).keys()
        ]


class Delivery(Generic[T]):
    """Knows which version of each object the sink has, across relists and broken connections.

    Between `begin_snapshot` and `end_snapshot` every object that exists is taken; what was not is deleted at
    the end. A snapshot that breaks off is begun anew: what it delivered so far stays delivered.
    """

    def __init__(self, kind: type[T], sink: Sink) -> None:
        self._kind: type[T] = kind
        self._sink = sink
        self._delivered = _Versions()
        self._snapshot: _Versions | None = None
        self._complete = False
        self._bad: set[tuple[str, str]] = set()
        self._bad_in_snapshot: set[tuple[str, str]] = set()
        self.bad_objects = 0

    def begin_snapshot(self) -> None:
        """Expect every object that exists."""
        self._snapshot = _Versions()
        self._bad_in_snapshot = set()

    def end_snapshot(self) -> None:
        """Delete what the snapshot did not hold, and tell the sink once that the kind is complete."""
        if self._snapshot is None:
            return
        for namespace, name in self._delivered.missing_from(self._snapshot):
            self._sink.delete(self._kind, namespace, name)
        self._bad &= self._bad_in_snapshot
        self._delivered = self._snapshot
        self._snapshot = None
        if not self._complete:
            self._complete = True
            self._sink.synced(self._kind)

    def take(self, obj: T | BadObject) -> None:
        """Hand an object on if its version is new; a bad one is logged, and deleted if an earlier version was good."""
        if isinstance(obj, BadObject):
            self._skip(obj)
            return
        meta = obj.metadata
        if self._snapshot is not None:
            self._snapshot.set(meta.namespace, meta.name, meta.resource_version)
        # A server without resourceVersions gives no way to tell a repetition.
        if not meta.resource_version or self._delivered.get(meta.namespace, meta.name) != meta.resource_version:
            self._delivered.set(meta.namespace, meta.name, meta.resource_version)
            self._bad.discard((meta.namespace, meta.name))
            self._sink.upsert(obj)

    def remove(self, namespace: str, name: str) -> None:
        """Forget an object; nothing happens if the sink does not have it."""
        if self._snapshot is not None:
            self._snapshot.discard(namespace, name)
        self._bad.discard((namespace, name))
        if self._delivered.discard(namespace, name):
            self._sink.delete(self._kind, namespace, name)

    def _skip(self, bad: BadObject) -> None:
        key = (bad.namespace, bad.name)
        known = key in self._bad
        self.remove(*key)
        self._bad.add(key)
        if self._snapshot is not None:
            self._bad_in_snapshot.add(key)
        if not known:
            self.bad_objects += 1
            log.error("%s %s/%s is left out: %s", self._kind.__name__, bad.namespace, bad.name or "?", bad.problem)
