"""Runs the proxy: source, tracker, backend and node agent, from start to SIGTERM."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from kproxy import __version__
from kproxy.backends.interface import Backend
from kproxy.config import KubeProxyConfiguration
from kproxy.config.addresses import parse_endpoint
from kproxy.config.defaults import mode_settings
from kproxy.config.dump import to_json
from kproxy.daemon import memory
from kproxy.daemon.modes import local_traffic, make_backend
from kproxy.daemon.proxier import Proxier, SyncReport
from kproxy.daemon.runner import SyncRunner
from kproxy.kernel.interface_addresses import AddressMonitor, list_addresses
from kproxy.node.events import Event
from kproxy.node.health import ProxyHealth
from kproxy.node.http import BindAddress, HttpServers, health_app, metrics_app
from kproxy.node.metrics import Metrics
from kproxy.node.node_ports import NodePortAddresses, primary_addresses
from kproxy.node.service_health import ServiceHealth
from kproxy.node.stale_flows import FlowReconciliation, StaleFlows
from kproxy.services.addresses import Address, parse_address
from kproxy.services.model import ServiceName
from kproxy.services.objects import EndpointSlice, Node, Service
from kproxy.services.specification import ObjectReference, Problem
from kproxy.services.tracker import ServiceTracker
from kproxy.sources.sink import Sink

log = logging.getLogger(__name__)

_REMEMBERED_PROBLEMS = 10_000


class Source(Protocol):
    """Where the objects come from."""

    async def run(self) -> object:
        """Deliver to the sink until cancelled."""


class Daemon:
    """One proxy on one node."""

    def __init__(
        self,
        configuration: KubeProxyConfiguration,
        node_name: str,
        *,
        on_sync: Callable[[SyncReport], None] = lambda report: None,
        on_event: Callable[[Event], None] = lambda event: None,
    ) -> None:
        """Open the backend.

        Args:
            configuration: effective and valid
            node_name: the name of this node's Node object
            on_sync: called after each sync that did what it should
            on_event: called with what users should learn about an object

        Raises:
            BackendError: the mode cannot work here
        """
        memory.expect_many_objects()
        self._configuration = configuration
        self.metrics = Metrics()
        self._backend: Backend = make_backend(configuration)
        log.info("kproxy %s on node %s: using %s Proxier", __version__, node_name, configuration.mode)
        self.metrics.show_packets(self._backend.packet_counters)
        settings = mode_settings(configuration)
        self.health = ProxyHealth(self._backend.families(), settings.sync_period.seconds, time.time)
        self.tracker = ServiceTracker(
            node_name, on_change=self._on_change, on_problem=self._on_problem, on_node=self._on_node
        )
        self._on_sync, self._on_event = on_sync, on_event
        self._stale_flows = StaleFlows(self._backend.families(), on_pass=self._on_flows)
        self._service_health = ServiceHealth(lambda: self.health.healthy, on_failure=self._on_health_port)
        self._proxier = Proxier(
            self.tracker,
            self._backend,
            self.metrics,
            self.health,
            self._stale_flows,
            self._service_health,
            on_sync=self._after_sync,
        )
        self._runner = SyncRunner(
            self._sync, min_period=settings.min_sync_period.seconds, sync_period=settings.sync_period.seconds
        )
        self._node: Node | None = None
        self._node_ports = NodePortAddresses(configuration.node_port_addresses)
        self._primary: list[Address] = []
        self._addresses: AddressMonitor | None = None
        self._started = self._programmed = False
        self._problems: set[Problem] = set()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def sink(self) -> Sink:
        """Where a source delivers to."""
        return self.tracker

    async def run(self, source: Source) -> None:
        """Serve until SIGTERM, SIGINT or `stop`; what is programmed stays in the kernel.

        Raises:
            SourceError: the source cannot work at all
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        servers = HttpServers()
        following = asyncio.create_task(source.run(), name="source")
        answering = asyncio.create_task(self._service_health.run(), name="service health")
        for task in (following, answering):
            task.add_done_callback(self._task_ended)
        try:
            await self._serve(servers)
            await self._stop.wait()
        finally:
            self._runner.close()
            for task in (following, answering):
                task.cancel()
            await asyncio.wait([following, answering])
            await self._stale_flows.close()
            await servers.close()
            self._backend.close()
            if self._addresses:
                loop.remove_reader(self._addresses.fileno())
                self._addresses.close()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    # ------------------------------------------------------------------ what the tracker tells

    def _on_change(self) -> None:
        if not self._started and not self._start():
            return
        self._proxier.queued()
        self._runner.request()

    def _start(self) -> bool:
        """Begin to program, once everything that exists is known."""
        if not {Service, EndpointSlice, Node} <= self.tracker.synced_kinds:
            return False
        if not self._apply_local_traffic():
            log.warning("Waiting for podCIDRs of node %s (detectLocalMode NodeCIDR)", self.tracker.placement.node)
            return False
        if self._node_ports.follows_interfaces:
            self._addresses = AddressMonitor()
            asyncio.get_running_loop().add_reader(self._addresses.fileno(), self._on_addresses)
        self._apply_node_ports()
        self._started = True
        return True

    def _on_node(self, node: Node | None) -> None:
        previous, self._node = self._node, node
        self.health.see_node(node)
        if not self._started:
            self._on_change()
            return
        if node is None or previous is None or previous.status != node.status:
            self._apply_node_ports()
            self._on_change()
        if (
            self._configuration.detect_local_mode == "NodeCIDR"
            and (previous is None or node is None or previous.spec != node.spec)
            and self._apply_local_traffic()
        ):
            self._proxier.compare_next()
            self._on_change()

    def _on_problem(self, problem: Problem) -> None:
        if problem not in self._problems and len(self._problems) < _REMEMBERED_PROBLEMS:
            self._problems.add(problem)
            log.error("Left out: %s", problem)
            self._on_event(Event(problem.object, "LeftOut", f"{problem.field}: {problem.reason}"))

    def _on_addresses(self) -> None:
        if self._addresses:
            self._addresses.drain()
            self._apply_node_ports()
            self._on_change()

    # ------------------------------------------------------------------ what the backend needs to know

    def _apply_local_traffic(self) -> bool:
        found = local_traffic(self._configuration, self._node)
        if found is None:
            return False
        self._backend.set_local_traffic(found)
        return True

    def _apply_node_ports(self) -> None:
        primary = primary_addresses(self._node, parse_address(self._configuration.bind_address))
        if primary != self._primary:
            self._primary = primary
            self._backend.set_node_ips(primary)
            self._proxier.compare_next()
        interfaces = list_addresses() if self._node_ports.follows_interfaces else ()
        selected = self._node_ports.select(interfaces, primary)
        self._backend.set_node_port_addresses(selected)
        self._stale_flows.set_node_port_addresses(selected)
        self._service_health.set_addresses(None if self._node_ports.everywhere else selected)

    # ------------------------------------------------------------------ syncing

    def _sync(self) -> bool:
        try:
            return self._proxier.sync()
        except Exception as error:
            log.exception("Sync failed in a way that it should not")
            self._failure = error
            self.stop()
            return False

    def _after_sync(self, report: SyncReport) -> None:
        if not self._programmed:
            self._programmed = True
            self._backend.watch(self._on_tampering)
            memory.settle()
        self._on_sync(report)

    def _on_tampering(self) -> None:
        log.warning("Somebody else changed what this proxy programmed; comparing and repairing")
        self._proxier.compare_next()
        self._on_change()

    def _on_flows(self, result: FlowReconciliation) -> None:
        family = result.family.value
        self.metrics.conntrack_duration.labels(family).observe(result.seconds)
        self.metrics.conntrack_deleted.labels(family).inc(result.deleted)

    def _on_health_port(self, name: ServiceName, port: int, reason: str) -> None:
        log.error("Service %s: no health check on port %d: %s", name, port, reason)
        note = f"node {self.tracker.placement.node}: no health check on port {port}: {reason}"
        self._on_event(Event(ObjectReference("Service", *name), "FailedToStartServiceHealthcheck", note))

    def _task_ended(self, task: asyncio.Task[object]) -> None:
        if not task.cancelled():
            self._failure = task.exception() or RuntimeError(f"{task.get_name()} ended")
            self.stop()

    async def _serve(self, servers: HttpServers) -> None:
        configuration = self._configuration
        health, metrics = (
            health_app(self.health, self.metrics),
            metrics_app(self.metrics, configuration.mode, lambda: to_json(configuration)),
        )
        for app, address in (
            (health, configuration.healthz_bind_address),
            (metrics, configuration.metrics_bind_address),
        ):
            if not address:
                continue
            endpoint = parse_endpoint(address)
            try:
                await servers.serve(app, [BindAddress(str(endpoint.address), endpoint.port)])
            except OSError as error:
                if configuration.bind_address_hard_fail:
                    raise
                log.error("Cannot serve on %s: %s", address, error)


def node_name(override: str) -> str:
    """The name of this node's Node object: the override, else the host's name, in lower case."""
    return override.strip().lower() or Path("/proc/sys/kernel/hostname").read_text(encoding="utf-8").strip().lower()
