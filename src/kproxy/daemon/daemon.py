"""Runs the proxy: source, tracker, backend and node agent, from start to SIGTERM."""

import asyncio
import logging
import signal
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from kproxy import __version__
from kproxy.backends.interface import Backend, Sample
from kproxy.config import KubeProxyConfiguration
from kproxy.config.defaults import mode_settings
from kproxy.config.reload import Part
from kproxy.daemon import memory
from kproxy.daemon.initialisation import initialise
from kproxy.daemon.modes import make_backend
from kproxy.daemon.programming import Programming
from kproxy.daemon.proxier import SyncReport
from kproxy.daemon.reload import Apply, Reloading
from kproxy.daemon.servers import Servers
from kproxy.kernel.oom_score import set_oom_score_adj
from kproxy.kernel.sd_notify import ServiceManager
from kproxy.node import events
from kproxy.node.conntrack_usage import ConntrackUsage
from kproxy.node.events import Event
from kproxy.node.health import ProxyHealth
from kproxy.node.metrics import Metrics
from kproxy.node.pipeline_metrics import FollowedResource
from kproxy.node.service_health import ServiceHealth
from kproxy.node.service_state import ServiceState
from kproxy.node.stale_flows import FlowReconciliation, StaleFlows
from kproxy.services.addresses import Family
from kproxy.services.model import ServiceName
from kproxy.services.objects import Node
from kproxy.services.specification import Problem
from kproxy.services.tracker import ServiceTracker
from kproxy.sources.reflector import Reflector
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
        set_verbosity: Callable[[int], None] = lambda verbosity: None,
        appliers: Mapping[Part, Apply] = MappingProxyType({}),
        open_backend: Callable[[KubeProxyConfiguration], Backend] = make_backend,
    ) -> None:
        """Open the backend.

        Args:
            configuration: effective and valid
            node_name: the name of this node's Node object
            on_sync: called after each sync that did what it should
            on_event: called with what users should learn about an object
            set_verbosity: sets how much is logged, for who profiles
            appliers: put into effect what a reload changes in parts that are not this daemon's
            open_backend: opens the configured mode's

        Raises:
            BackendError: the mode cannot work here
        """
        memory.expect_many_objects()
        self.metrics = Metrics()
        self._open_backend = open_backend
        backend = open_backend(configuration)
        families = backend.families()
        self.metrics.expect(families)
        log.info("kproxy %s on node %s: using %s Proxier", __version__, node_name, configuration.mode)
        self.health = ProxyHealth(families, mode_settings(configuration).sync_period.seconds)
        self.tracker = ServiceTracker(
            node_name, on_change=self._on_change, on_problem=self._on_problem, on_node=self._on_node
        )
        self._node_name = node_name
        self._on_sync, self._on_event = on_sync, on_event
        self._stale_flows = StaleFlows(families, on_pass=self._on_flows)
        self._service_health = ServiceHealth(lambda: self.health.healthy, on_failure=self._on_health_port)
        self._programming = self._program(configuration, backend)
        self.metrics.registry.register(ConntrackUsage())
        self.metrics.show_packets(self._packet_counters)
        self.metrics.pipeline.show_objects(self._object_counts)
        self.metrics.pipeline.show_mode(self._mode_metrics)
        self._servers = Servers(
            self.health,
            self.metrics,
            lambda: self.configuration,
            node_name,
            on_event=on_event,
            set_verbosity=set_verbosity,
        )
        self._service_state = ServiceState(
            ServiceManager.from_environment(),
            lambda: not self.health.lagging,
            lambda: f"{self.configuration.mode} mode",
        )
        self._reloading = Reloading(configuration, self._appliers() | dict(appliers), end=self.stop)
        self._node: Node | None = None
        self._programmed = False
        self._problems: OrderedDict[Problem, None] = OrderedDict()
        """Those told of last."""
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def configuration(self) -> KubeProxyConfiguration:
        """The one in effect."""
        return self._reloading.configuration

    @property
    def sink(self) -> Sink:
        """Where a source delivers to."""
        return self.tracker

    def show_resources(self, reflectors: Collection[Reflector[Any]]) -> None:
        """Have the metrics show how well the API's resources are followed."""

        def read() -> Iterator[FollowedResource]:
            for reflector in reflectors:
                stats = reflector.stats
                yield FollowedResource(reflector.plural, stats.relists, stats.failures, stats.events, stats.last_event)

        self.metrics.pipeline.show_resources(read, time.time)

    async def run(self, source: Source) -> None:
        """Serve until SIGTERM, SIGINT or `stop`; what is programmed stays in the kernel.

        Raises:
            SourceError: the source cannot work at all
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        self._initialise()
        self._on_event(events.starting(self._node_name))
        following = asyncio.create_task(source.run(), name="source")
        answering = asyncio.create_task(self._service_health.run(), name="service health")
        reporting = asyncio.create_task(self._service_state.run(), name="service state")
        tasks = (following, answering, reporting)
        for task in tasks:
            task.add_done_callback(self._task_ended)
        try:
            await self._servers.start()
            await self._stop.wait()
        finally:
            self._service_state.stopping()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._programming.close()
            await self._stale_flows.close()
            await self._servers.close()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    async def reload(self, configuration: KubeProxyConfiguration) -> None:
        """Put a changed configuration into effect; the kernel's state stays, and is changed only where it differs."""
        self._service_state.reloading()
        await self._reloading(configuration)
        if self._programmed:
            self._service_state.synced()

    def _appliers(self) -> dict[Part, Apply]:
        async def serve_health(_: KubeProxyConfiguration) -> None:
            await self._servers.restart(Part.HEALTH_SERVER)

        async def serve_metrics(_: KubeProxyConfiguration) -> None:
            await self._servers.restart(Part.METRICS_SERVER)

        async def limit(_: KubeProxyConfiguration) -> None:
            self._initialise()

        rules = (Part.BACKEND, Part.LOCAL_TRAFFIC, Part.NODE_ADDRESSES, Part.SYNC_TIMING)
        return {
            **dict.fromkeys(rules, self._reprogram),
            **dict.fromkeys((Part.CONNTRACK, Part.OOM_SCORE), limit),
            Part.HEALTH_SERVER: serve_health,
            Part.METRICS_SERVER: serve_metrics,
        }

    async def _reprogram(self, configuration: KubeProxyConfiguration) -> None:
        """Program anew, perhaps in another mode; what the kernel has stays until it is replaced.

        Raises:
            BackendError: the mode cannot work here; the old one goes on
        """
        backend = self._open_backend(configuration)
        if {*backend.families()} != {*self._programming.backend.families()}:
            log.warning("Ending, to be started again: mode %s serves other IP families", configuration.mode)
            backend.close()
            self.stop()
            return
        await self._programming.close()
        self.health.set_sync_period(mode_settings(configuration).sync_period.seconds)
        self._programming = self._program(configuration, backend)
        self._programming.see_node(self._node)

    # ------------------------------------------------------------------ what the tracker tells

    def _on_change(self) -> None:
        self._programming.changed()

    def _on_node(self, node: Node | None) -> None:
        self._node = node
        self.health.see_node(node)
        self._programming.see_node(node)

    def _on_problem(self, problem: Problem) -> None:
        if problem in self._problems:
            return
        self._problems[problem] = None
        if len(self._problems) > _REMEMBERED_PROBLEMS:
            self._problems.popitem(last=False)
        log.error("Left out: %s", problem)
        self._on_event(Event(problem.object, "LeftOut", f"{problem.field}: {problem.reason}"))

    # ------------------------------------------------------------------ what syncs tell

    def _program(self, configuration: KubeProxyConfiguration, backend: Backend) -> Programming:
        return Programming(
            configuration,
            backend,
            self.tracker,
            self.metrics,
            self.health,
            self._stale_flows,
            self._service_health,
            on_sync=self._after_sync,
            on_failure=self._fail,
        )

    def _packet_counters(self) -> Mapping[str, int]:
        return self._programming.backend.packet_counters()

    def _mode_metrics(self) -> Iterable[Sample]:
        return self._programming.backend.metrics()

    def _object_counts(self) -> Mapping[Family, Mapping[str, int]]:
        return self._programming.backend.object_counts()

    def _after_sync(self, report: SyncReport) -> None:
        if not self._programmed:
            self._programmed = True
            memory.settle()
        self._service_state.synced()
        self._on_sync(report)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self.stop()

    def _on_flows(self, result: FlowReconciliation) -> None:
        family = result.family.value
        self.metrics.conntrack_duration.labels(family).observe(result.seconds)
        self.metrics.conntrack_deleted.labels(family).inc(result.deleted)

    def _on_health_port(self, name: ServiceName, port: int, reason: str) -> None:
        log.error("Service %s: no health check on port %d: %s", name, port, reason)
        self._on_event(events.service_health_failed(self._node_name, *name, port, reason))

    def _task_ended(self, task: asyncio.Task[object]) -> None:
        if not task.cancelled():
            self._fail(task.exception() or RuntimeError(f"{task.get_name()} ended"))

    def _initialise(self) -> None:
        configuration = self.configuration
        result = initialise(configuration)
        for words in result.done:
            log.info("%s", words)
        for problem in result.problems:
            log.error("%s", problem)
        if result.problems:
            reason = "; ".join(map(str, result.problems))
            self._on_event(events.conntrack_limits_failed(self._node_name, reason, read_only=result.read_only))
        try:
            set_oom_score_adj(configuration.oom_score_adj)
        except OSError as error:
            log.warning("oomScoreAdj: %d cannot be set: %s", configuration.oom_score_adj, error.strerror)
