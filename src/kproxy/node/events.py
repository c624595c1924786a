"""Kubernetes Events: what a user should know about an object shows in `kubectl describe` (events.k8s.io/v1)."""

import asyncio
import itertools
import json
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import NamedTuple

from kproxy.services.specification import ObjectReference

log = logging.getLogger(__name__)

_CONTROLLER = "kube-proxy"
_QUEUED = 256
"""Events that wait for the API at most; more are dropped, as Events are."""
_NOTE = 1024
"""Characters in an Event's note (the API's limit)."""


class Event(NamedTuple):
    regarding: ObjectReference
    reason: str
    """One word, for machines."""
    note: str


class EventRecorder:
    """Sends warnings to the API, one after the other, beside everything else; never raises for it."""

    def __init__(self, post: Callable[[str, bytes], Awaitable[object]], node: str) -> None:
        """Make a recorder.

        Args:
            post: POSTs a body to a path of the API
            node: the name of this node, for the Events' origin
        """
        self._post = post
        self._instance = f"{_CONTROLLER}-{node}"
        self._queue: asyncio.Queue[Event] = asyncio.Queue(_QUEUED)
        self._numbers = itertools.count()

    def warn(self, event: Event) -> None:
        """Send a warning soon."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            log.warning("An event is dropped, too many wait for the API: %s: %s", event.regarding, event.note)

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            event = await self._queue.get()
            namespace = event.regarding.namespace or "default"
            path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
            try:
                await self._post(path, json.dumps(self._body(event, namespace)).encode())
            except Exception as error:
                log.warning("An event about %s could not be sent: %s", event.regarding, error)

    def _body(self, event: Event, namespace: str) -> dict[str, object]:
        now = datetime.now(UTC)
        regarding = event.regarding
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{regarding.name}.{int(now.timestamp() * 1e6):x}{next(self._numbers):x}",
                "namespace": namespace,
            },
            "eventTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "type": "Warning",
            "reason": event.reason,
            "action": "Sync",
            "note": event.note[:_NOTE],
            "regarding": {
                "apiVersion": "discovery.k8s.io/v1" if regarding.kind == "EndpointSlice" else "v1",
                "kind": regarding.kind,
                "namespace": regarding.namespace,
                "name": regarding.name,
                "uid": regarding.uid,
            },
            "reportingController": _CONTROLLER,
            "reportingInstance": self._instance,
        }
