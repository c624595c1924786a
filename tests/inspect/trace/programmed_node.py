"""A lab's node that a backend of this process programs, from phase to phase of a scenario."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

import msgspec
import yaml

from kproxy.backends.interface import Backend
from kproxy.config import load_bytes
from kproxy.daemon.modes import make_backend
from kproxy.inspect.desired import DesiredState, NodeSettings, build_desired
from kproxy.inspect.rulesets.kernel_routes import KernelRoutes
from kproxy.inspect.rulesets.packet import Packet
from kproxy.inspect.rulesets.snapshot import Snapshot, read_snapshot
from kproxy.inspect.trace.report import Trace
from kproxy.inspect.trace.tracing import Facts, Views, packet_between
from kproxy.kernel.interface_addresses import list_addresses
from kproxy.lab.expectation import Table, Target
from kproxy.lab.kubernetes_objects import Manifest
from kproxy.lab.lab import DEFAULT_PATIENCE, Lab
from kproxy.lab.proxy import configuration
from kproxy.lab.scenario import Phase
from kproxy.lab.topology import NODE, address_of
from kproxy.lab.wiring import set_address
from kproxy.services.addresses import parse_address
from kproxy.services.objects import EndpointSlice, KubeObject, Node, Service
from kproxy.services.tracker import ServiceTracker

KINDS: dict[str, type[KubeObject]] = {"Service": Service, "EndpointSlice": EndpointSlice, "Node": Node}
T = TypeVar("T")


class Traced(NamedTuple):
    """A node as it is in one phase."""

    lab: Lab
    expect: Table
    facts: Facts
    views: Views

    def packet(self, target: Target) -> Packet:
        return self._inside(lambda: self._packet(target))

    def traces(self) -> dict[Target, Trace]:
        """Of every row's packet."""
        return self._inside(lambda: {target: self.views.trace(self._packet(target)) for target in self.expect})

    def _inside(self, call: Callable[[], T]) -> T:
        """Interfaces have their names in the node's namespace only."""
        return self.lab.namespace(NODE.name).run(call)

    def _packet(self, target: Target) -> Packet:
        destination = parse_address(target.address)
        assert destination is not None
        version = 4 if len(destination) == 4 else 6
        source = None if target.client == NODE.name else address_of(target.client, version).packed
        return packet_between(source, destination, target.port, target.transport, self.facts.routes)


class ProgrammedNode:
    """Programs each phase as the change that it is from the one before; traces are of a state built anew."""

    def __init__(self, lab: Lab, mode: str) -> None:
        self._lab, self._mode = lab, mode
        self._node = lab.namespace(NODE.name)
        self._loop = asyncio.new_event_loop()
        """Of the node's own thread: programs and sockets belong to the namespace of the thread that starts them."""
        self._tracker = ServiceTracker(NODE.name)
        self._phase: Phase | None = None
        self._backend: Backend | None = None
        self._seen: tuple[object, object] | None = None
        """How pods and the node itself were known to the last sync; None: the next is a backend's first."""
        self._routes: KernelRoutes | None = None

    async def bring_about(self, phase: Phase) -> Callable[[], Traced]:
        """Program a phase; the result reads what there is then."""
        before, self._phase = self._phase, phase
        self._readdress(before, phase)
        self._track(before, phase)
        settings = _settings(self._mode, phase)
        desired = self._desired(phase, settings)
        if self._backend is None or before is None or before.config != phase.config:
            await self._end_backend()
            self._backend = self._node.run(lambda: make_backend(settings.configuration))
        await asyncio.to_thread(self._node.run, lambda: self._loop.run_until_complete(self._sync(desired)))
        return lambda: self._read(phase, desired, settings)

    async def aclose(self) -> None:
        await self._end_backend()
        if self._routes:
            self._routes.close()
        self._loop.close()

    def _readdress(self, before: Phase | None, phase: Phase) -> None:
        present, wanted = before.addresses if before else {}, phase.addresses
        for address, link in present.items() - wanted.items():
            set_address(self._node, address, link, present=False)
        for address, link in wanted.items() - present.items():
            set_address(self._node, address, link, present=True)

    def _track(self, before: Phase | None, phase: Phase) -> None:
        present = before.manifests if before else {}
        for key, manifest in phase.manifests.items():
            if present.get(key) != manifest and manifest["kind"] in KINDS:
                self._tracker.upsert(_object(manifest))
        for key, manifest in present.items():
            if key not in phase.manifests and manifest["kind"] in KINDS:
                metadata = manifest["metadata"]
                self._tracker.delete(KINDS[manifest["kind"]], metadata.get("namespace", ""), metadata["name"])

    def _desired(self, phase: Phase, settings: NodeSettings) -> DesiredState:
        objects = [_object(manifest) for manifest in phase.manifests.values() if manifest["kind"] in KINDS]
        return build_desired(objects, settings, self._node.run(list_addresses), "the lab")

    async def _sync(self, desired: DesiredState) -> None:
        """What the daemon does with a change, at once."""
        backend = self._backend
        assert backend is not None
        seen = (desired.local_traffic, desired.primary_addresses)
        whole, self._seen = seen != self._seen, seen
        backend.set_local_traffic(desired.local_traffic)
        backend.set_node_ips(desired.primary_addresses)
        backend.set_node_port_addresses(desired.node_port_addresses)
        sync = backend.sync_all if whole else backend.sync
        outcomes = await sync(self._tracker.take().services, self._tracker)
        assert not any(outcome.refused for outcome in outcomes), outcomes

    def _read(self, phase: Phase, desired: DesiredState, settings: NodeSettings) -> Traced:
        if self._routes:
            self._routes.close()
        self._routes = self._node.run(KernelRoutes)
        snapshot: Snapshot = self._node.run(read_snapshot)
        assert not snapshot.unread
        facts = Facts(desired, settings, self._mode, self._routes, snapshot, None)
        return Traced(self._lab, phase.expect, facts, Views(facts))

    async def _end_backend(self) -> None:
        if self._backend:
            await asyncio.to_thread(self._node.run, self._backend.close)
            self._backend = self._seen = None


@asynccontextmanager
async def programmed(mode: str, *, patience: float = DEFAULT_PATIENCE) -> AsyncIterator[tuple[Lab, ProgrammedNode]]:
    """A lab of its own, whose node nobody has programmed yet.

    Args:
        mode: of the proxy
        patience: of clients, in seconds
    """
    async with Lab.open(patience=patience) as lab:
        node = ProgrammedNode(lab, mode)
        try:
            yield lab, node
        finally:
            await node.aclose()


def _object(manifest: Manifest) -> KubeObject:
    return msgspec.convert(manifest, KINDS[manifest["kind"]])


def _settings(mode: str, phase: Phase) -> NodeSettings:
    text = yaml.safe_dump(configuration(mode, {**phase.config}))
    loaded = load_bytes(text.encode()).configuration
    return NodeSettings(configuration=loaded, origin="test", running=True, node=NODE.name)
