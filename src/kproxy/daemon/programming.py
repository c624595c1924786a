"""From the tracker to the kernel, in one mode and for one configuration; a reload of those replaces it."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

from kproxy.backends.interface import Backend, BackendError
from kproxy.config import KubeProxyConfiguration
from kproxy.config.defaults import mode_settings
from kproxy.daemon.modes import local_traffic
from kproxy.daemon.proxier import Proxier, SyncReport
from kproxy.daemon.repair_pace import RepairPace
from kproxy.daemon.runner import SyncRunner
from kproxy.daemon.sync_metrics import SyncMetrics
from kproxy.kernel.interface_addresses import AddressMonitor, list_addresses
from kproxy.node.health import ProxyHealth
from kproxy.node.metrics import Metrics
from kproxy.node.node_ports import NodePortAddresses, primary_addresses
from kproxy.node.service_health import ServiceHealth
from kproxy.node.stale_flows import StaleFlows
from kproxy.services.addresses import Address, format_address, parse_address
from kproxy.services.objects import EndpointSlice, Node, Service
from kproxy.services.tracker import ServiceTracker

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
"""Seconds between attempts to remove what other modes have left."""
_LONGEST_DRAINING = 15 * 60.0
"""Seconds that connections through another mode's objects have to end, as with IPVS mode's own real servers."""

log = logging.getLogger(__name__)


class Programming:
    """Owns the backend: programs nothing before everything that exists is known, then what changes."""

    def __init__(
        self,
        configuration: KubeProxyConfiguration,
        backend: Backend,
        tracker: ServiceTracker,
        metrics: Metrics,
        health: ProxyHealth,
        stale_flows: StaleFlows,
        service_health: ServiceHealth,
        *,
        on_sync: Callable[[SyncReport], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Program nothing yet.

        Args:
            configuration: effective and valid
            backend: of the configured mode, to own
            tracker: what exists; Services that were taken from it already are programmed as well
            metrics: to count in
            health: to tell how far we are
            stale_flows: to tell which flows may lead nowhere
            service_health: to tell how many endpoints Services have here
            on_sync: called after each sync that did what it should
            on_failure: called when syncing ended with an error that it should not
        """
        self.configuration = configuration
        self.backend = backend
        self._tracker = tracker
        self._stale_flows, self._service_health = stale_flows, service_health
        self._on_sync, self._on_failure = on_sync, on_failure
        self._metrics = SyncMetrics(tracker, backend, metrics, health)
        self._proxier = Proxier(tracker, backend, self._metrics, stale_flows, service_health, on_sync=self._after_sync)
        settings = mode_settings(configuration)
        self._runner = SyncRunner(
            self._sync, min_period=settings.min_sync_period.seconds, sync_period=settings.sync_period.seconds
        )
        self._node: Node | None = None
        self._node_ports = NodePortAddresses(configuration.node_port_addresses)
        self._primary: list[Address] | None = None
        self._addresses: AddressMonitor | None = None
        self._started = self._programmed = False
        self._removing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._repairs = RepairPace(self._repair)

    def changed(self) -> None:
        """Program what the tracker has to tell, soon."""
        if not self._started and not self._start():
            return
        self._metrics.queued()
        self._runner.request()

    def see_node(self, node: Node | None) -> None:
        """Take in a new version of this node's object; None: it is gone."""
        previous, self._node = self._node, node
        if not self._started:
            self.changed()
            return
        if node is None or previous is None or previous.status != node.status:
            self._apply_node_ports()
            self.changed()
        if (
            self.configuration.detect_local_mode == "NodeCIDR"
            and (previous is None or node is None or previous.spec != node.spec)
            and self._apply_local_traffic()
        ):
            self._proxier.compare_next()
            self.changed()

    async def close(self) -> None:
        """Let a sync that runs come to its end, and let go of the kernel; what is programmed stays."""
        self._closing.set()
        self._repairs.close()
        await self._runner.close()
        if self._removing:
            await asyncio.wait([self._removing])
        self.backend.close()
        if self._addresses:
            asyncio.get_running_loop().remove_reader(self._addresses.fileno())
            self._addresses.close()

    def _start(self) -> bool:
        """Begin to program, once everything that exists is known."""
        if not {Service, EndpointSlice, Node} <= self._tracker.synced_kinds:
            return False
        if not self._apply_local_traffic():
            log.warning("Waiting for podCIDRs of node %s (detectLocalMode NodeCIDR)", self._tracker.placement.node)
            return False
        if self._node_ports.follows_interfaces:
            self._addresses = AddressMonitor()
            asyncio.get_running_loop().add_reader(self._addresses.fileno(), self._on_addresses)
        self._apply_node_ports()
        self._started = True
        return True

    # ------------------------------------------------------------------ what the backend needs to know

    def _on_addresses(self) -> None:
        if self._addresses and self._addresses.drain():
            self._apply_node_ports()
            self.changed()

    def _apply_local_traffic(self) -> bool:
        found = local_traffic(self.configuration, self._node)
        if found is None:
            return False
        self.backend.set_local_traffic(found)
        return True

    def _apply_node_ports(self) -> None:
        primary = primary_addresses(self._node, parse_address(self.configuration.bind_address))
        if primary != self._primary:
            log.info("This node's addresses: %s", ", ".join(map(format_address, primary)) or "none yet")
            if not primary and self._node_ports.primary:
                log.warning(
                    "NodePorts answer nowhere until the Node object lists an address (nodePortAddresses: primary)"
                )
            self._primary = primary
            self.backend.set_node_ips(primary)
            self._proxier.compare_next()
        interfaces = list_addresses() if self._node_ports.follows_interfaces else ()
        selected = self._node_ports.select(interfaces, primary)
        self.backend.set_node_port_addresses(selected)
        self._stale_flows.set_node_port_addresses(selected)
        self._service_health.set_addresses(None if self._node_ports.everywhere else selected)

    # ------------------------------------------------------------------ syncing

    async def _sync(self) -> bool:
        try:
            return await self._proxier.sync()
        except Exception as error:
            log.exception("Sync failed in a way that it should not")
            self._on_failure(error)
            return False

    def _after_sync(self, report: SyncReport) -> None:
        if not self._programmed:
            self._programmed = True
            self.backend.watch(self._repairs.tampered)
            self._removing = asyncio.create_task(self._remove_other_modes(), name="remove other modes")
        if any(outcome.full for outcome in report.outcomes):
            self._repairs.compared(report.seconds)
        self._on_sync(report)

    async def _remove_other_modes(self) -> None:
        pause = _FIRST_PAUSE
        until = time.monotonic() + _LONGEST_DRAINING
        while not await self._removed_other_modes(spare_in_use=time.monotonic() < until):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), pause)
                return
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _removed_other_modes(self, *, spare_in_use: bool) -> bool:
        # Late: not on the way from the start to the first sync.
        from kproxy.daemon.other_modes import remove_other_modes

        try:
            removal = await remove_other_modes(self.backend.rules, self.configuration, spare_in_use=spare_in_use)
        except (BackendError, OSError) as error:
            log.error("What another mode has programmed cannot be removed yet: %s", error)
            return False
        for words in removal.removed:
            log.info("Removed what another mode had programmed: %s", words)
        if removal.in_use:
            log.info("%d virtual servers stay until their connections have ended", removal.in_use)
        return not removal.in_use

    def _repair(self) -> None:
        log.warning("Somebody else changed what this proxy programmed; comparing and repairing")
        self._proxier.compare_next()
        self.changed()
