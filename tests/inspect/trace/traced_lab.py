"""A lab whose node runs a proxy, with what a trace is made of."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec
import yaml

from kproxy.config import load_bytes
from kproxy.inspect.desired import NodeSettings, build_desired
from kproxy.inspect.rulesets.kernel_routes import KernelRoutes
from kproxy.inspect.rulesets.packet import Packet
from kproxy.inspect.rulesets.snapshot import Snapshot, read_snapshot
from kproxy.inspect.trace.report import Trace
from kproxy.inspect.trace.tracing import Facts, Views, packet_between
from kproxy.kernel.interface_addresses import list_addresses
from kproxy.lab.api_objects import serve_api
from kproxy.lab.expectation import Table, Target
from kproxy.lab.kubernetes_objects import Manifest
from kproxy.lab.lab import Lab
from kproxy.lab.proxy import configuration, run_proxy
from kproxy.lab.runner import DEFAULT_PROXY, SCENARIOS
from kproxy.lab.scenario import Phase, load_scenario
from kproxy.lab.topology import NODE, address_of
from kproxy.lab.wiring import set_address
from kproxy.services.addresses import parse_address
from kproxy.services.objects import EndpointSlice, KubeObject, Node, Service

KINDS: dict[str, type[KubeObject]] = {"Service": Service, "EndpointSlice": EndpointSlice, "Node": Node}


class Traced(NamedTuple):
    """A node whose proxy has programmed the first phases of scenarios."""

    lab: Lab
    expect: Table
    facts: Facts
    views: Views

    def packet(self, target: Target) -> Packet:
        destination = parse_address(target.address)
        assert destination is not None
        version = 4 if len(destination) == 4 else 6
        source = None if target.client == NODE.name else address_of(target.client, version).packed
        node = self.lab.namespace(NODE.name)
        routes = self.facts.routes
        return node.run(lambda: packet_between(source, destination, target.port, target.transport, routes))

    def trace(self, target: Target) -> Trace:
        return self.views.trace(self.packet(target))


def manifests(scenario: str, phase: Phase) -> Iterator[Manifest]:
    """A scenario's objects in a namespace of their own: their names recur in others, their addresses do not."""
    for manifest in phase.manifests.values():
        if manifest["kind"] in KINDS:
            namespace = "" if manifest["kind"] == "Node" else scenario
            yield {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}


@asynccontextmanager
async def traced(scenarios: Iterable[str], mode: str) -> AsyncIterator[Traced]:
    phases = {name: load_scenario(SCENARIOS / f"{name}.yaml", mode).phases[0] for name in scenarios}
    found = [manifest for name, phase in phases.items() for manifest in manifests(name, phase)]
    expect: Table = {target: row for phase in phases.values() for target, row in phase.expect.items()}
    async with Lab.open() as lab, serve_api(lab) as api:
        node = lab.namespace(NODE.name)
        for phase in phases.values():
            for address, link in phase.addresses.items():
                set_address(node, address, link, present=True)
        for manifest in found:
            api.apply(manifest)
        settings = configuration(mode)
        async with run_proxy(lab, DEFAULT_PROXY["api"], settings, api.server):
            loaded = load_bytes(yaml.safe_dump(settings).encode()).configuration
            known = NodeSettings(configuration=loaded, origin="test", running=True, node=NODE.name)
            objects = [msgspec.convert(manifest, KINDS[manifest["kind"]]) for manifest in found]
            desired = build_desired(objects, known, node.run(list_addresses), "the lab")
            routes = node.run(KernelRoutes)
            snapshot: Snapshot = node.run(read_snapshot)
            assert not snapshot.unread
            try:
                facts = Facts(desired, known, mode, routes, snapshot, None)
                yield Traced(lab, expect, facts, Views(facts))
            finally:
                routes.close()
