"""The proxier: takes changes from the tracker to the backend, and tells everyone concerned what came of it."""

import logging
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from kproxy.backends.interface import Backend, Outcome
from kproxy.daemon.sync_metrics import SyncMetrics
from kproxy.node.service_health import ServiceHealth, count_local_ready
from kproxy.node.stale_flows import StaleFlows
from kproxy.services.model import ServiceName
from kproxy.services.tracker import Changes, ServiceTracker

log = logging.getLogger(__name__)


class SyncReport(NamedTuple):
    """One sync, for whoever wants to know."""

    outcomes: list[Outcome]
    seconds: float
    changes: Changes


class Proxier:
    """Syncs on demand; remembers whether the kernel must be compared as a whole, and what failed syncs left."""

    def __init__(
        self,
        tracker: ServiceTracker,
        backend: Backend,
        metrics: SyncMetrics,
        stale_flows: StaleFlows,
        service_health: ServiceHealth,
        *,
        on_sync: Callable[[SyncReport], None] = lambda report: None,
    ) -> None:
        self._tracker, self._backend, self._metrics = tracker, backend, metrics
        self._stale_flows, self._service_health = stale_flows, service_health
        self._on_sync = on_sync
        self._compare = True
        self._unfinished: set[ServiceName] = set()
        """Services whose changes no successful sync has brought to the kernel yet."""
        self._failures: set[str] = set()
        """Of the last sync."""

    def compare_next(self) -> None:
        """Have the next sync read everything back: somebody else may have changed it."""
        self._compare = True

    async def sync(self) -> bool:
        """Bring the kernel up to date. Returns False when it is not, and a full sync is due."""
        begin = time.perf_counter()
        changes = self._tracker.take()
        self._metrics.taken(changes)
        self._unfinished |= changes.services
        compare, self._compare = self._compare, False
        outcomes: list[Outcome] = []
        problems: list[str] = []
        try:
            sync = self._backend.sync_all if compare else self._backend.sync
            outcomes = await sync(self._unfinished, self._tracker)
        except OSError as error:
            problems = [str(error)]
            self._metrics.not_synced(full=compare)
        if flows := self._backend.flow_model(self._tracker):
            self._stale_flows.changed(changes.services, flows)
        if not problems:
            problems = self._synced(SyncReport(outcomes, time.perf_counter() - begin, changes), compared=compare)
        if any(self._tracker.pending):  # it came while the sync ran
            self._metrics.queued()
        if problems:
            self._compare = True
            self._fail(problems)
            return False
        if self._failures:
            log.info("Syncing works again")
            self._failures.clear()
        return True

    def _synced(self, report: SyncReport, *, compared: bool) -> list[str]:
        self._metrics.synced(report.outcomes, report.seconds, unasked=not self._unfinished)
        if log.isEnabledFor(logging.DEBUG) or any(outcome.full for outcome in report.outcomes):
            _log(report)
        if not any(outcome.failed for outcome in report.outcomes):
            self._follow_up(compared=compared)
            self._on_sync(report)
        return [str(refusal) for outcome in report.outcomes for refusal in outcome.refused]

    def _follow_up(self, *, compared: bool) -> None:
        """What may happen only when the kernel has the rules."""
        if self._backend.flow_model(self._tracker):
            if compared:
                self._stale_flows.recheck()
            self._stale_flows.reconcile()
        for name in self._unfinished:
            service = self._tracker.specification(name)
            port = service.health_check_node_port if service else 0
            local = count_local_ready(self._tracker.slices(name)) if port else 0
            self._service_health.update(name, port, local)
            self._metrics.served(name)
        self._unfinished.clear()

    def _fail(self, problems: Collection[str]) -> None:
        new = [problem for problem in problems if problem not in self._failures]
        if new:
            log.error("The kernel refused a sync, comparing with it next: %s", "; ".join(new))
        self._failures = set(problems)


def _log(report: SyncReport) -> None:
    for outcome in report.outcomes:
        if outcome.failed:
            continue
        log.log(
            logging.INFO if outcome.full else logging.DEBUG,
            "%s %s: %d objects in %d bytes, %.1f ms for all families",
            "Compared" if outcome.full else "Synced",
            outcome.family.value,
            outcome.objects,
            outcome.bytes,
            report.seconds * 1000,
        )
