"""The proxier: takes changes from the tracker to the backend, and tells metrics and health what came of it."""

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from kproxy.backends.interface import Backend, Outcome
from kproxy.node.health import ProxyHealth
from kproxy.node.metrics import Metrics
from kproxy.node.service_health import ServiceHealth, count_local_ready
from kproxy.node.stale_flows import StaleFlows
from kproxy.services.tracker import Changes, ServiceTracker

log = logging.getLogger(__name__)


class SyncReport(NamedTuple):
    """One sync, for whoever wants to know."""

    outcomes: list[Outcome]
    seconds: float
    changes: Changes


class Proxier:
    """Syncs on demand; remembers whether the kernel must be compared as a whole."""

    def __init__(
        self,
        tracker: ServiceTracker,
        backend: Backend,
        metrics: Metrics,
        health: ProxyHealth,
        stale_flows: StaleFlows,
        service_health: ServiceHealth,
        *,
        on_sync: Callable[[SyncReport], None] = lambda report: None,
    ) -> None:
        self._tracker, self._backend = tracker, backend
        self._metrics, self._health = metrics, health
        self._stale_flows, self._service_health = stale_flows, service_health
        self._on_sync = on_sync
        self._compare = True
        self._last_failure = ""

    def queued(self) -> None:
        """Something changed that the kernel does not have yet."""
        now = time.time()
        self._health.queued()
        for family in self._backend.families():
            self._metrics.last_queued.labels(family.value).set(now)
        services, endpoints = self._tracker.pending
        self._metrics.service_changes_pending.set(services)
        self._metrics.endpoint_changes_pending.set(endpoints)

    def compare_next(self) -> None:
        """Have the next sync read everything back: somebody else may have changed it."""
        self._compare = True

    def sync(self) -> bool:
        """Bring the kernel up to date. Returns False when it is not, and a full sync is due."""
        begin = time.perf_counter()
        changes = self._tracker.take()
        compare, self._compare = self._compare, False
        try:
            sync = self._backend.sync_all if compare else self._backend.sync
            outcomes = sync(changes.services, self._tracker)
        except OSError as error:
            self._stale_flows.changed(changes.services, self._tracker)
            self._compare = True
            self._fail(f"{error}")
            return False
        report = SyncReport(outcomes, time.perf_counter() - begin, changes)
        self._record(report)
        self._stale_flows.changed(changes.services, self._tracker)
        if not any(outcome.failed for outcome in outcomes):
            self._follow_up(changes, compared=compare)
            self._on_sync(report)
        refused = [refusal for outcome in outcomes for refusal in outcome.refused]
        if refused:
            self._compare = True
            self._fail("; ".join(str(refusal) for refusal in refused))
            return False
        if self._last_failure:
            log.info("Syncing works again")
            self._last_failure = ""
        return True

    def _follow_up(self, changes: Changes, *, compared: bool) -> None:
        """What may happen only when the kernel has the rules."""
        if compared:
            self._stale_flows.recheck()
        self._stale_flows.reconcile()
        for name in changes.services:
            service = self._tracker.specification(name)
            port = service.health_check_node_port if service else 0
            local = count_local_ready(self._tracker.slices(name)) if port else 0
            self._service_health.update(name, port, local)

    def _fail(self, reason: str) -> None:
        if reason != self._last_failure:
            log.error("The kernel refused a sync, comparing with it next: %s", reason)
            self._last_failure = reason

    def _record(self, report: SyncReport) -> None:
        metrics, now = self._metrics, time.time()
        changes = report.changes
        metrics.service_changes.inc(changes.service_changes)
        metrics.endpoint_changes.inc(changes.endpoint_changes)
        metrics.service_changes_pending.set(0)
        metrics.endpoint_changes_pending.set(0)
        delays = [delay for text in changes.triggered if (delay := _seconds_since(text, now)) is not None]
        for outcome in report.outcomes:
            family = outcome.family.value
            metrics.sync_duration.labels(family).observe(report.seconds)
            kind = metrics.full_sync_duration if outcome.full else metrics.partial_sync_duration
            kind.labels(family).observe(report.seconds)
            if outcome.refused:
                metrics.count_refusal(self._backend.mode, outcome.family, full=outcome.full)
            if not outcome.failed:
                metrics.last_sync.labels(family).set(now)
                self._health.updated(outcome.family)
                programming = metrics.programming_duration.labels(family)
                for delay in delays:
                    programming.observe(delay)
        for of_family, tables in self._backend.rule_counts().items():
            for table, count in tables.items():
                metrics.iptables_rules.labels(table, of_family.value).set(count.total)
                metrics.iptables_rules_last.labels(table, of_family.value).set(count.last)
        if log.isEnabledFor(logging.DEBUG) or any(outcome.full for outcome in report.outcomes):
            self._log(report)

    def _log(self, report: SyncReport) -> None:
        for outcome in report.outcomes:
            log.log(
                logging.INFO if outcome.full else logging.DEBUG,
                "%s %s: %d objects in %d bytes, %.1f ms for all families",
                "Compared" if outcome.full else "Synced",
                outcome.family.value,
                outcome.objects,
                outcome.bytes,
                report.seconds * 1000,
            )


def _seconds_since(timestamp: str, now: float) -> float | None:
    """How long ago an RFC 3339 time is; None for what is none, or lies in the future."""
    try:
        then = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    if then.tzinfo is None:
        return None
    delay = now - then.timestamp()
    return delay if delay >= 0 else None
