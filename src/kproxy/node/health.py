"""Whether the proxy keeps up: what `/healthz` and `/livez` answer.

A family is healthy while no change has waited longer than twice the sync period to be programmed (KEP-3836
for the difference between the two paths).
"""

import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from kproxy.services.addresses import Family
from kproxy.services.objects import Node

TO_BE_DELETED_TAINT = "ToBeDeletedByClusterAutoscaler"
_NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time."""


class ProxyHealth:
    """Keeps when each family was last asked to sync, and when it last did."""

    def __init__(
        self,
        families: Collection[Family],
        sync_period: float,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin unhealthy: nothing is programmed yet.

        Args:
            families: those that are served
            sync_period: in seconds
            wall: the time, in seconds since the epoch: to be shown, never to be reckoned with, since it may jump
            monotonic: seconds that only grow
        """
        self._timeout = 2 * sync_period
        self._wall, self._monotonic = wall, monotonic
        self._updated: dict[Family, float] = {}
        """When each family was last synced, by the wall."""
        self._queued: dict[Family, float] = {}
        """Since when each family's oldest change has waited, monotonic."""
        self._families = list(families)
        self._node_seen = False
        self.node_eligible = True

    def set_sync_period(self, seconds: float) -> None:
        """Allow changes twice as long to wait, from now on."""
        self._timeout = 2 * seconds

    def queued(self) -> None:
        """A sync of all families is due."""
        now = self._monotonic()
        for family in self._families:
            self._queued.setdefault(family, now)

    def updated(self, family: Family) -> None:
        """A family's rules are as desired."""
        self._updated[family] = self._wall()
        self._queued.pop(family, None)

    def see_node(self, node: Node | None) -> None:
        """A node that is about to go, or has gone from the API, should get no new load balancer traffic."""
        if node is None:
            # Without an API, as with a folder of manifests, there may never be one.
            self.node_eligible = not self._node_seen
            return
        self._node_seen = True
        taints = node.spec.taints or ()
        leaving = any(taint.key == TO_BE_DELETED_TAINT for taint in taints)
        self.node_eligible = not leaving and node.metadata.deletion_timestamp is None

    def lags(self, family: Family) -> bool:
        """Whether a change has waited for too long; not having synced yet, for want of an API, is no lag."""
        queued = self._queued.get(family)
        return queued is not None and self._monotonic() - queued >= self._timeout

    def is_healthy(self, family: Family) -> bool:
        return family in self._updated and not self.lags(family)

    def _keeps_up(self, family: Family) -> bool:
        return not self.lags(family)

    @property
    def lagging(self) -> bool:
        """Some family is: its syncs fail, or hang."""
        return any(self.lags(family) for family in self._families)

    @property
    def healthy(self) -> bool:
        """Every family is."""
        return all(self.is_healthy(family) for family in self._families)

    def report(self, *, eligibility: bool) -> tuple[bool, dict[str, Any]]:
        """Whether to answer 200, and the answer's body.

        Args:
            eligibility: whether the node's counts: for the answer, and beside `healthy` in the body
        """
        # A probe for life must not kill a proxy that waits for the API to come, or a load balancer trust one.
        sound = self.is_healthy if eligibility else self._keeps_up
        healthy = all(map(sound, self._families))
        answer = healthy and (self.node_eligible or not eligibility)
        now = self._wall()
        # A proxy that keeps up is up to date now, whenever it last had something to do.
        last = now if answer else max(self._updated.values(), default=None)
        body: dict[str, Any] = {"lastUpdated": _timestamp(last), "currentTime": _timestamp(now)}
        if eligibility:
            body["nodeEligible"] = self.node_eligible
        body["healthy"] = healthy
        body["status"] = {
            family.value: {"lastUpdated": _timestamp(self._updated.get(family)), "healthy": sound(family)}
            for family in sorted(self._families, key=lambda family: family.value)
        }
        return answer, body


def _timestamp(seconds: float | None) -> str:
    """RFC 3339 in UTC, its fraction as short as it can be."""
    if seconds is None:
        return _NEVER
    text = datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")
    return (text.rstrip("0") if "." in text else text) + "Z"
