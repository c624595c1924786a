"""What a source hands its objects to."""

from typing import Protocol

from kproxy.services.objects import KubeObject


class Sink(Protocol):
    """Receives a source's view of the world, one object at a time, on the event loop's thread.

    A source calls `synced(kind)` once, after it has delivered the first complete list of that kind, and
    from then on keeps calling `upsert` and `delete`. After a relist it calls `delete` for what has gone and
    `upsert` only for what differs (by resourceVersion), so that the sink never sees its state dropped.
    """

    def upsert(self, obj: KubeObject) -> None:
        """Take a new or changed object."""

    def delete(self, kind: type[KubeObject], namespace: str, name: str) -> None:
        """Forget an object."""

    def synced(self, kind: type[KubeObject]) -> None:
        """Learn that every object of the kind that exists has been delivered."""
