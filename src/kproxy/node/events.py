"""Kubernetes Events: what a user should know about an object shows in `kubectl describe` (events.k8s.io/v1)."""

import asyncio
import itertools
import json
import logging
import random
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from kproxy.services.specification import ObjectReference

log = logging.getLogger(__name__)

_CONTROLLER = "kube-proxy"
_STARTING = "StartKubeProxy"
_QUEUED = 256
"""Events that wait for the API at most; more are dropped, as Events are."""
_NOTE = 1024
"""Characters in an Event's note (the API's limit)."""
_ATTEMPTS = 12
_API_VERSIONS = {"EndpointSlice": "discovery.k8s.io/v1"}


class Event(NamedTuple):
    regarding: ObjectReference
    reason: str
    """One word, for machines."""
    note: str
    type: Literal["Normal", "Warning"] = "Warning"
    action: str = "Sync"
    """What the proxy was doing, for machines."""


def starting(node: str) -> Event:
    """The proxy begins to serve this node."""
    return Event(_node(node), "Starting", "", "Normal", _STARTING)


def health_server_failed(node: str, reason: str) -> Event:
    """`healthzBindAddress` cannot be served."""
    return Event(_node(node), "FailedToStartProxierHealthcheck", reason, action=_STARTING)


def metrics_server_failed(node: str, reason: str) -> Event:
    """`metricsBindAddress` cannot be served."""
    return Event(_node(node), "FailedToStartMetricServer", reason, action=_STARTING)


def service_health_failed(node: str, namespace: str, name: str, port: int, reason: str) -> Event:
    """A Service's health check node port cannot be served on this node."""
    key = f"{namespace}/{name}"
    note = f'node {node} failed to start healthcheck "{key}" on port {port}: {reason}'
    return Event(
        ObjectReference("Service", namespace, name, key), "FailedToStartServiceHealthcheck", note, action="Listen"
    )


def conntrack_limits_failed(node: str, reason: str, *, read_only: bool) -> Event:
    """The kernel's limits for connection tracking could not be raised.

    Args:
        node: the name of this node
        reason: which and why
        read_only: /sys or /proc/sys is mounted read-only, which has a reason of its own
    """
    return Event(_node(node), "readOnlySysFS" if read_only else "FailedToSetConntrackLimits", reason, action=_STARTING)


def _node(name: str) -> ObjectReference:
    # kubelet's and kube-proxy's Events about a Node have its name for a uid, and that is what kubectl looks for.
    return ObjectReference("Node", "", name, name)


class EventRecorder:
    """Sends Events to the API, one after the other, beside everything else; never raises for it."""

    def __init__(
        self,
        post: Callable[[str, bytes], Awaitable[object]],
        node: str,
        *,
        may_work_later: Callable[[Exception], bool] = lambda error: False,
        pause: float = 10.0,
    ) -> None:
        """Make a recorder.

        Args:
            post: POSTs a body to a path of the API
            node: the name of this node, for the Events' origin
            may_work_later: whether an error of `post` calls for another attempt, as when the API is away
            pause: about how many seconds there are between two attempts
        """
        self._post = post
        self._instance = f"{_CONTROLLER}-{node or socket.gethostname()}"
        self._may_work_later, self._pause = may_work_later, pause
        self._queue: asyncio.Queue[Event] = asyncio.Queue(_QUEUED)
        self._numbers = itertools.count()

    def record(self, event: Event) -> None:
        """Send an Event soon."""
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
            await self._send(path, json.dumps(self._body(event, namespace)).encode(), event)

    async def _send(self, path: str, body: bytes, event: Event) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self._post(path, body)
            except Exception as error:
                if attempt == _ATTEMPTS or not self._may_work_later(error):
                    log.warning("An event about %s could not be sent: %s", event.regarding, error)
                    return
                # Nodes that lost the API together do not return to it together.
                await asyncio.sleep(self._pause * random.uniform(1, 1.25))
            else:
                return

    def _body(self, event: Event, namespace: str) -> dict[str, object]:
        now = datetime.now(UTC)
        regarding = event.regarding
        reference = {
            "apiVersion": _API_VERSIONS.get(regarding.kind, "v1"),
            "kind": regarding.kind,
            "namespace": regarding.namespace,
            "name": regarding.name,
            "uid": regarding.uid,
        }
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{regarding.name}.{int(now.timestamp() * 1e6):x}{next(self._numbers):x}",
                "namespace": namespace,
            },
            "eventTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "type": event.type,
            "reason": event.reason,
            "action": event.action,
            "note": event.note[:_NOTE],
            "regarding": {name: value for name, value in reference.items() if value},
            "reportingController": _CONTROLLER,
            "reportingInstance": self._instance,
        }
