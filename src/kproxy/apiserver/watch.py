"""Watches: a reader's place in a resource's history, and what of it concerns the reader. No I/O.

A watch holds no queue of its own: it follows the shared, bounded history at its own pace, so slow readers cost
no memory; one that the history has overtaken is told that it expired (410) and lists anew.
"""

from dataclasses import dataclass
from itertools import islice

from kproxy.apiserver import errors
from kproxy.apiserver.history import Event, EventType
from kproxy.apiserver.listing import ListOptions, select
from kproxy.apiserver.resources import Resource
from kproxy.apiserver.selectors import Selection
from kproxy.apiserver.store import Store
from kproxy.apiserver.stored import StoredObject


@dataclass(frozen=True, slots=True)
class Change:
    """What a watch says of one object."""

    type: EventType
    obj: StoredObject


class Watch:
    """One watch; `initial` are the objects to begin with, in the order of their keys.

    `resource_version` is the one up to which the reader has been told everything, once the initial objects are
    out. `ends_initial` says that a bookmark must mark that point (watch-list streaming, KEP-3157).
    """

    def __init__(self, store: Store, resource: Resource, options: ListOptions) -> None:
        """Raises `ApiError` 410 when the history does not reach back to the asked-for resourceVersion, or the
        version is of another store's future: its reader must list, not wait.
        """
        self._store = store
        self._collection = store.collection(resource)
        self._selection = options.selection
        self.initial: list[StoredObject] = []
        self.ends_initial = bool(options.send_initial_events and options.bookmarks)
        asked = options.resource_version
        wants_state = options.send_initial_events
        if wants_state is None:
            wants_state = not asked
        if asked and asked > store.resource_version:
            if wants_state:
                raise errors.resource_version_too_large(asked, store.resource_version)
            raise _too_old(asked, store.resource_version)
        if wants_state or not asked:
            self.resource_version = store.resource_version
        else:
            self.resource_version = asked
            self._check_place()
        if wants_state:
            self.initial = list(select(self._collection, self._selection))

    def changes(self, limit: int) -> list[Change]:
        """What is new for the reader, oldest first, out of at most `limit` events; moves the place on.

        Raises `ApiError` 410 when the history has overtaken the reader.
        """
        self._check_place()
        events = list(islice(self._collection.history.after(self.resource_version), limit))
        behind = len(events) == limit
        self.resource_version = events[-1].resource_version if behind else self._store.resource_version
        return [change for event in events if (change := self._concerning(event)) is not None]

    @property
    def behind(self) -> bool:
        """Whether there are events that `changes` has not been asked for."""
        return next(self._collection.history.after(self.resource_version), None) is not None

    def _check_place(self) -> None:
        if self.resource_version < self._collection.history.floor:
            raise _too_old(self.resource_version, self._collection.history.floor)

    def _concerning(self, event: Event) -> Change | None:
        """An object that enters or leaves the selection is added or deleted, as far as the reader can see."""
        selection: Selection = self._selection
        was = event.previous is not None and selection.matches(event.previous)
        now = event.type != "DELETED" and selection.matches(event.obj)
        if now:
            return Change("MODIFIED" if was else "ADDED", event.obj)
        if not was or event.previous is None:
            return None
        if event.type == "DELETED":
            return Change("DELETED", event.obj)
        return Change("DELETED", event.previous.at_version(self._collection.resource, event.resource_version))


def _too_old(asked: int, known: int) -> errors.ApiError:
    return errors.expired(f"too old resource version: {asked} ({known})")
