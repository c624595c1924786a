"""Forgets stale UDP and SCTP flows after the rules changed, beside the event loop."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from kproxy.kernel.conntrack.table import ConntrackTable
from kproxy.services.addresses import Address, Family
from kproxy.services.flows import FlowCheck, ServedFlows, ServedModel
from kproxy.services.model import ServiceName

log = logging.getLogger(__name__)


class FlowReconciliation(NamedTuple):
    """One pass over the connection tracking table's flows of one IP family."""

    family: Family
    deleted: int
    seconds: float


class StaleFlows:
    """Follows what is served, and brings the connection tracking table in line with it, one pass at a time.

    However much changed since the last pass, the next one looks at each flow once. A pass that fails is made
    again with the next one.
    """

    def __init__(
        self,
        families: Iterable[Family],
        *,
        on_pass: Callable[[FlowReconciliation], None] = lambda result: None,
    ) -> None:
        """Open the table of this thread's network namespace.

        Args:
            families: those that are served
            on_pass: called on the event loop after each pass

        Raises:
            OSError: the kernel has no netfilter netlink
        """
        self._table = ConntrackTable()
        self._flows = ServedFlows(families)
        self._on_pass = on_pass
        self._running: asyncio.Task[None] | None = None
        self._again = False
        self._failure = ""

    def changed(self, names: Iterable[ServiceName], model: ServedModel) -> None:
        """Learn what became of Services; call with every sync's changes, whether or not the kernel took them.

        Costs what those of the Services weigh that have UDP or SCTP ports.
        """
        self._flows.changed(names, model)

    def set_node_port_addresses(self, addresses: Iterable[Address]) -> None:
        """Set where NodePorts answer."""
        self._flows.set_node_port_addresses(addresses)

    def recheck(self) -> None:
        """Have the next `reconcile` check every flow; call when the rules were compared with the kernel as a whole.

        Until then they may have been wrong, as after a sync that failed, or wherever this process was not running.
        """
        self._flows.recheck()

    def reconcile(self) -> None:
        """Start a pass if anything is to be checked; call when the rules are in the kernel."""
        if not self._flows.pending:
            return
        self._again = True
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="stale flows")

    async def idle(self) -> None:
        """Wait until no pass is under way."""
        if self._running is not None:
            await asyncio.wait([self._running])

    async def close(self) -> None:
        """End after the pass that is under way."""
        await self.idle()
        self._table.close()

    async def _run(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._pass(self._flows.take())
        finally:
            self._running = None

    async def _pass(self, checks: list[FlowCheck]) -> None:
        by_family: dict[Family, list[FlowCheck]] = {}
        for check in checks:
            by_family.setdefault(check.family, []).append(check)
        complete = True
        for family, of_family in by_family.items():
            begin = time.perf_counter()
            try:
                deleted = await asyncio.to_thread(_reconcile, self._table, of_family)
            except OSError as error:
                self._flows.restore(of_family)
                self._fail(f"{family.value}: {error}")
                complete = False
                continue
            self._on_pass(FlowReconciliation(family, deleted, time.perf_counter() - begin))
        if complete and self._failure:
            log.info("Stale flows are being deleted again")
            self._failure = ""

    def _fail(self, reason: str) -> None:
        if reason != self._failure:
            log.error("Stale UDP and SCTP flows may remain, trying again after the next sync: %s", reason)
            self._failure = reason


def _reconcile(table: ConntrackTable, checks: Iterable[FlowCheck]) -> int:
    """Make checks, and return how many flows were deleted."""
    deleted = 0
    for check in checks:
        flows = table.flows(check.family, check.protocol, address=check.only_address, port=check.only_port)
        # All are found before the first goes: the answers to deletions come over the same socket as the entries.
        outcome = table.delete(check.family, list(check.stale(flows)))
        deleted += outcome.deleted
        for error, count in outcome.refused.items():
            log.warning("%d stale %s flows could not be deleted: %s", count, check.protocol, os.strerror(error))
    return deleted
