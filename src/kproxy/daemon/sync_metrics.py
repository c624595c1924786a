"""What metrics and health are told about changes and syncs."""

import functools
import time
from collections.abc import Iterable
from datetime import datetime

from kproxy.backends.interface import Backend, Outcome
from kproxy.node.health import ProxyHealth
from kproxy.node.metrics import Metrics
from kproxy.node.no_local_endpoints import Lacking, NoLocalEndpoints
from kproxy.services.addresses import Family
from kproxy.services.model import Policy, ServiceName
from kproxy.services.tracker import MOST_TRIGGERED, Changes, ServiceTracker


class SyncMetrics:
    """Records for one backend."""

    def __init__(self, tracker: ServiceTracker, backend: Backend, metrics: Metrics, health: ProxyHealth) -> None:
        self._tracker, self._backend = tracker, backend
        self._metrics, self._health = metrics, health
        self._queued: float | None = None
        """When the oldest event came that the kernel does not have, on the clock of `perf_counter`."""
        self._triggered: list[str] = []
        self._started = time.time()
        self._compared = False
        self._no_local_endpoints = NoLocalEndpoints()
        for family in backend.families():
            for index, policy in enumerate(Lacking._fields):
                gauge = metrics.no_local_endpoints.labels(policy, family.value)
                gauge.set_function(functools.partial(self._lacking, family, index))

    def queued(self) -> None:
        """Something changed that the kernel does not have yet."""
        now = time.time()
        if self._queued is None:
            self._queued = time.perf_counter()
        self._health.queued()
        for family in self._backend.families():
            self._metrics.last_queued.labels(family.value).set(now)
        self._show_pending()

    def taken(self, changes: Changes) -> None:
        """A sync begins with these changes."""
        self._metrics.service_changes.inc(changes.service_changes)
        self._metrics.endpoint_changes.inc(changes.endpoint_changes)
        self._triggered += changes.triggered[: MOST_TRIGGERED - len(self._triggered)]

    def synced(self, outcomes: Iterable[Outcome], seconds: float, *, unasked: bool) -> None:
        """A sync has ended, in whatever way.

        Args:
            outcomes: by family
            seconds: that it took
            unasked: no change asked for it: what it wrote, it repaired
        """
        now = time.time()
        self._show_pending()
        delays = [delay for text in self._triggered if (delay := _delay(text, self._started, now)) is not None]
        for outcome in outcomes:
            self._record(outcome, seconds, delays, now)
            if outcome.full and outcome.objects and self._compared and unasked:
                self._metrics.pipeline.repairs.labels(outcome.family.value).inc()
        if not any(outcome.failed for outcome in outcomes):
            self._triggered.clear()
            self._compared = True
            if self._queued is not None:
                self._metrics.pipeline.event_to_commit.observe(time.perf_counter() - self._queued)
                self._queued = None
        for of_family, tables in self._backend.rule_counts().items():
            for table, count in tables.items():
                self._metrics.iptables_rules.labels(table, of_family.value).set(count.total)
                self._metrics.iptables_rules_last.labels(table, of_family.value).set(count.last)

    def not_synced(self, *, full: bool) -> None:
        """A sync could not be made in any family: the kernel could not be reached."""
        for family in self._backend.families():
            self._metrics.count_refusal(self._backend.mode, family, full=full)

    def served(self, name: ServiceName) -> None:
        """The kernel has a Service as it is now."""
        service = self._tracker.specification(name)
        local = service is not None and Policy.LOCAL in (service.internal_policy, service.external_policy)
        for family in self._backend.families():
            self._no_local_endpoints.update(name, family, self._tracker.ports(name, family) if local else ())

    def _record(self, outcome: Outcome, seconds: float, delays: list[float], now: float) -> None:
        metrics, family = self._metrics, outcome.family.value
        metrics.sync_duration.labels(family).observe(seconds)
        kind = metrics.full_sync_duration if outcome.full else metrics.partial_sync_duration
        kind.labels(family).observe(seconds)
        metrics.pipeline.batch_objects.labels(family).observe(outcome.objects)
        metrics.pipeline.batch_bytes.labels(family).observe(outcome.bytes)
        if outcome.full:
            left_out = {refused.service for refused in outcome.refused if refused.service}
            metrics.pipeline.left_out.labels(family).set(len(left_out))
        if outcome.refused:
            metrics.count_refusal(self._backend.mode, outcome.family, full=outcome.full)
        if not outcome.failed:
            metrics.last_sync.labels(family).set(now)
            self._health.updated(outcome.family)
            programming = metrics.programming_duration.labels(family)
            for delay in delays:
                programming.observe(delay)

    def _lacking(self, family: Family, index: int) -> float:
        return self._no_local_endpoints.total(family)[index]

    def _show_pending(self) -> None:
        services, endpoints = self._tracker.pending
        self._metrics.service_changes_pending.set(services)
        self._metrics.endpoint_changes_pending.set(endpoints)


def _delay(timestamp: str, started: float, now: float) -> float | None:
    """How long ago an RFC 3339 time is; None for what is none, lies in the future, or before we started.

    Slices keep the time of their last change. When a proxy starts, that may be days ago, and no delay of its own.
    """
    try:
        then = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    if then.tzinfo is None:
        return None
    return now - then.timestamp() if started <= then.timestamp() <= now else None
