"""Whether the proxy keeps up: what `/healthz` and `/livez` answer.

A family is healthy while no change has waited longer than twice the sync period to be programmed (KEP-3836
for the difference between the two paths).
"""

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from kproxy.services.addresses import Family
from kproxy.services.objects import Node

TO_BE_DELETED_TAINT = "ToBeDeletedByClusterAutoscaler"


class ProxyHealth:
    """Keeps when each family was last asked to sync, and when it last did."""

    def __init__(self, families: Collection[Family], sync_period: float, now: Callable[[], float]) -> None:
        """Begin unhealthy: nothing is programmed yet.

        Args:
            families: those that are served
            sync_period: in seconds
            now: the time, in seconds since the epoch
        """
        self._timeout = 2 * sync_period
        self._now = now
        self._updated: dict[Family, float] = {}
        self._queued: dict[Family, float] = {}
        self._families = list(families)
        self.node_eligible = True

    def queued(self) -> None:
        """A sync of all families is due."""
        now = self._now()
        for family in self._families:
            self._queued.setdefault(family, now)

    def updated(self, family: Family) -> None:
        """A family's rules are as desired."""
        self._updated[family] = self._now()
        self._queued.pop(family, None)

    def see_node(self, node: Node | None) -> None:
        """A node that is about to go should get no new load balancer traffic."""
        if node is None:
            self.node_eligible = True
            return
        taints = node.spec.taints or ()
        leaving = any(taint.key == TO_BE_DELETED_TAINT for taint in taints)
        self.node_eligible = not leaving and node.metadata.deletion_timestamp is None

    def is_healthy(self, family: Family) -> bool:
        queued = self._queued.get(family)
        return family in self._updated and (queued is None or self._now() - queued < self._timeout)

    @property
    def healthy(self) -> bool:
        """Every family is."""
        return all(self.is_healthy(family) for family in self._families)

    def report(self, *, eligibility: bool) -> tuple[bool, dict[str, Any]]:
        """Whether to answer 200, and the answer's body; `eligibility` includes the node's."""
        healthy = self.healthy and (self.node_eligible or not eligibility)
        last = max(self._updated.values(), default=0.0)
        body: dict[str, Any] = {"lastUpdated": _timestamp(last), "currentTime": _timestamp(self._now())}
        if eligibility:
            body["nodeEligible"] = self.node_eligible
        body["healthy"] = healthy
        body["status"] = {
            family.value: {
                "lastUpdated": _timestamp(self._updated.get(family, 0.0)),
                "healthy": self.is_healthy(family),
            }
            for family in self._families
        }
        return healthy, body


def _timestamp(seconds: float) -> str:
    """RFC 3339 in UTC; Go's zero time for never."""
    if not seconds:
        return "0001-01-01T00:00:00Z"
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
