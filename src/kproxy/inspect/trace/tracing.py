"""Puts a trace together: reads what there is, asks each view, and compares them."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from kproxy.inspect.desired import DesiredState, NodeSettings
from kproxy.inspect.output import InspectionError
from kproxy.inspect.rulesets.kernel_routes import bridges_ask_netfilter
from kproxy.inspect.rulesets.packet import Packet
from kproxy.inspect.rulesets.routes import Routes
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.inspect.trace import proxied
from kproxy.inspect.trace.actual_view import Evaluator
from kproxy.inspect.trace.comparison import disagreements
from kproxy.inspect.trace.desired_view import Explainer
from kproxy.inspect.trace.pods import pod_address
from kproxy.inspect.trace.report import Trace, View
from kproxy.inspect.trace.request import Destination, ObjectName, parse_destination, parse_source
from kproxy.services.addresses import Address, Family, format_address
from kproxy.services.model import ServiceName, ServicePort
from kproxy.services.objects import Protocol
from kproxy.sources.connection import Connection


class Question(NamedTuple):
    """What a person wants to know."""

    source: str
    destination: str


class Facts(NamedTuple):
    """What there is to answer it with."""

    desired: DesiredState | None
    settings: NodeSettings
    mode: str
    routes: Routes
    snapshot: Snapshot | None
    connection: Connection | None
    """For asking about pods."""


def make_packet(question: Question, facts: Facts) -> Packet:
    """The packet that a question is about.

    Raises:
        InspectionError: it names something that does not exist, or cannot be looked up
    """
    destination = parse_destination(question.destination)
    source = parse_source(question.source)
    address, port, protocol = _resolve(destination, facts.desired, source if isinstance(source, bytes) else None)
    if isinstance(source, ObjectName):
        source = asyncio.run(pod_address(facts.connection, source, Family.of(address)))
    if source is not None and len(source) != len(address):
        raise InspectionError(f"{question.source} and {format_address(address)} are not of the same IP family")
    return packet_between(source, address, port, protocol, facts.routes)


def packet_between(
    source: Address | None, destination: Address, port: int, protocol: Protocol, routes: Routes
) -> Packet:
    """The first packet of a connection.

    Args:
        source: None for a process of this node
        destination: an address
        port: the port there
        protocol: the transport
        routes: tell by which interface it comes in
    """
    interface: str | None
    by_bridge = False
    if source is None or routes.is_local(source):
        source = source or _own_address(destination, routes)
        interface = ""
    else:
        route = routes.towards(source)
        interface = route.interface if route else None
        by_bridge = interface is not None and routes.is_bridge(interface)
    return Packet(
        source=source,
        destination=destination,
        protocol=protocol,
        port=port,
        input_interface=interface,
        bridged=None if interface is None else by_bridge and bridges_ask_netfilter(source),
        by_bridge=by_bridge,
    )


def _own_address(destination: Address, routes: Routes) -> Address:
    """What a process of this node sends with."""
    if routes.is_local(destination):
        return destination
    route = routes.towards(destination)
    if route is None or route.source is None:
        raise InspectionError(f"this node has no route to {format_address(destination)}, so no source address")
    return route.source


def _resolve(
    destination: Destination, desired: DesiredState | None, source: Address | None
) -> tuple[Address, int, Protocol]:
    host, port = destination.host, destination.port
    if isinstance(host, bytes):
        if isinstance(port, str):
            raise InspectionError(f"{port}: a port's name needs a Service's name in place of the address")
        return host, port, destination.protocol or _protocol_of(host, port, desired)
    if desired is None:
        raise InspectionError(f"{host}: Services are not known here; give an address, or --kubeconfig or --manifests")
    return _service_port(host, destination, desired, source)


def _service_port(
    name: ServiceName, destination: Destination, desired: DesiredState, source: Address | None
) -> tuple[Address, int, Protocol]:
    if name not in desired.services:
        raise InspectionError(f"there is no Service {name}")
    families = [Family.of(source)] if source else list(Family)
    every: list[ServicePort] = [p for family in families for p in desired.tracker.ports(name, family)]
    if not every:
        raise InspectionError(f"Service {name} has no cluster IP that this proxy serves")
    wanted, protocol = destination.port, destination.protocol
    for port in every:
        if wanted in (port.port, port.port_name) and protocol in (None, port.protocol):
            return port.cluster_ip, port.port, port.protocol
    if isinstance(wanted, int):
        return every[0].cluster_ip, wanted, protocol or "TCP"
    known = ", ".join(sorted({port.port_name for port in every if port.port_name})) or "none with a name"
    raise InspectionError(f"Service {name} has no port {wanted}; its ports: {known}")


def _protocol_of(address: Address, number: int, desired: DesiredState | None) -> Protocol:
    """TCP, unless a Service has the port there for other protocols only."""
    if desired is None:
        return "TCP"
    found: set[Protocol] = set()
    for name in desired.tracker.names():
        for port in desired.tracker.ports(name, Family.of(address)):
            if (port.port == number and address in (port.cluster_ip, *port.external_addresses())) or (
                port.node_port == number and address in desired.node_port_addresses
            ):
                found.add(port.protocol)
    return "TCP" if not found or "TCP" in found else min(found)


class Views:
    """Asks every view that there are facts for, about any number of packets."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        desired, snapshot = facts.desired, facts.snapshot
        rules = proxied.redirecting_mode(snapshot) if snapshot else "nftables"
        self._explainer = Explainer(desired, facts.mode, facts.routes, redirected_by=rules) if desired else None
        self._evaluator = Evaluator(snapshot, facts.routes) if snapshot else None

    def trace(self, packet: Packet, live: View | None = None) -> Trace:
        """The views of a packet, and what differs between them.

        Args:
            packet: with the interface that it comes in by
            live: what a probe met, if one was sent
        """
        views: list[View] = []
        if self._explainer:
            views.append(self._explainer.view(packet))
        if self._evaluator:
            views.append(self._evaluator.view(packet, self._facts.desired))
        compared: list[str] = []
        for first, second in itertools.pairwise(views):
            compared += self._disagreements(first, second)
        compared += (words for view in views[-1:] if live for words in _outside(view, live))
        if live:
            views.append(live)
        return Trace(
            source="node" if packet.input_interface == "" else format_address(packet.source),
            destination=format_address(packet.destination),
            port=packet.port,
            protocol=packet.protocol,
            mode=self._facts.mode if self._explainer else "",
            views=tuple(views),
            disagreements=tuple(dict.fromkeys(compared)),
            problems=self._facts.desired.problems if self._facts.desired else (),
        )

    def _disagreements(self, first: View, second: View) -> list[str]:
        if self._facts.mode == "userspace":
            return proxied.disagreements(first, second, self._facts.routes)
        return disagreements(first, second)


def _outside(view: View, live: View) -> list[str]:
    """What the live probe met that a view does not have among its outcomes."""
    known = {(o.fate, o.endpoint) for o in view.outcomes}
    return [
        f"the probe was {o.fate}{f' to {o.endpoint}' if o.endpoint else ''}, which {view.name} does not foresee"
        for o in live.outcomes
        if (o.fate, o.endpoint) not in known
    ]


def with_problems(found: Trace, problems: Sequence[str]) -> Trace:
    """The same trace, with more that could not be read."""
    return msgspec.structs.replace(found, problems=(*found.problems, *problems))
