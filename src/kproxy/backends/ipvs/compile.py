"""From the model to IPVS: which virtual servers, addresses and set elements a Service needs in one family."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.sets import SetName
from kproxy.kernel.ipset.elements import Element, bitmap_port, ip_port, ip_port_ip, ip_port_net
from kproxy.kernel.ipvs.protocol import PERSISTENT, Backend, ServerKey, ServerSettings
from kproxy.services.addresses import Address, Network
from kproxy.services.model import Endpoint, Policy, ServicePort
from kproxy.services.objects import Protocol

PROTOCOL_NUMBER: dict[Protocol, int] = {"TCP": 6, "UDP": 17, "SCTP": 132}


class VirtualServer(NamedTuple):
    settings: ServerSettings
    backends: frozenset[Backend]


class Compiled(NamedTuple):
    """All that one Service needs."""

    servers: dict[ServerKey, VirtualServer]
    addresses: frozenset[Address]
    """For the dummy interface."""
    elements: frozenset[tuple[SetName, Element]]
    depends_on_node: bool
    """It has node ports, or source ranges, which may admit the node."""


NOTHING = Compiled({}, frozenset(), frozenset(), False)


class NodeAddresses(NamedTuple):
    """What of the node a Service's virtual servers depend on."""

    node_ports: frozenset[Address] = frozenset()
    """Where NodePorts answer."""
    own: frozenset[Address] = frozenset()
    """Every address on interfaces other than ours: not to be put on the dummy interface as well."""
    ips: frozenset[Address] = frozenset()
    """The node's own address, which source ranges may admit."""


def compile_service(ports: Iterable[ServicePort], options: IpvsOptions, node: NodeAddresses) -> Compiled:
    """Compute what a Service needs."""
    compiler = _Compiler(options, node)
    for port in ports:
        compiler.add(port)
    return compiler.compiled()


_NODE_PORT_SETS: dict[Protocol, tuple[SetName, SetName]] = {
    "TCP": (SetName.NODE_PORT_TCP, SetName.NODE_PORT_LOCAL_TCP),
    "UDP": (SetName.NODE_PORT_UDP, SetName.NODE_PORT_LOCAL_UDP),
    "SCTP": (SetName.NODE_PORT_SCTP, SetName.NODE_PORT_LOCAL_SCTP),
}


class _Compiler:
    def __init__(self, options: IpvsOptions, node: NodeAddresses) -> None:
        self._options, self._node = options, node
        self._servers: dict[ServerKey, VirtualServer] = {}
        self._addresses: set[Address] = set()
        self._elements: set[tuple[SetName, Element]] = set()
        self._depends_on_node = False

    def compiled(self) -> Compiled:
        return Compiled(self._servers, frozenset(self._addresses), frozenset(self._elements), self._depends_on_node)

    def add(self, port: ServicePort) -> None:
        protocol, local = PROTOCOL_NUMBER[port.protocol], port.external_policy is Policy.LOCAL
        settings = self._settings(port)
        internal = _backends(port.internal_endpoints)
        # One virtual server cannot tell sources apart, and pods and the node itself may reach every endpoint. With no
        # local one, clients from outside reach the others too, whose answers, not being masqueraded, do not arrive.
        endpoints = (port.local_endpoints or port.cluster_endpoints) if local else port.cluster_endpoints
        external = internal if endpoints is port.internal_endpoints else _backends(endpoints)

        self._serve(ServerKey(protocol, port.cluster_ip, port.port), settings, internal, SetName.CLUSTER_IP)
        for address in port.external_ips:
            name = SetName.EXTERNAL_IP_LOCAL if local else SetName.EXTERNAL_IP
            self._serve(ServerKey(protocol, address, port.port), settings, external, name)
        for address in port.load_balancer_ips:
            key = ServerKey(protocol, address, port.port)
            self._serve(key, settings, external, SetName.LOAD_BALANCER)
            if local:
                self._elements.add((SetName.LOAD_BALANCER_LOCAL, _element(key)))
            if port.source_ranges:
                self._fence(key, port.source_ranges)
        self._depends_on_node |= bool(port.node_port or port.source_ranges)
        if port.node_port:
            self._serve_node_port(port, settings, external, local=local)
        for endpoint in (*port.cluster_endpoints, *port.local_endpoints):
            if endpoint.local:
                element = ip_port_ip(endpoint.address, protocol, endpoint.port, endpoint.address)
                self._elements.add((SetName.LOOP_BACK, element))

    def _settings(self, port: ServicePort) -> ServerSettings:
        flags = self._options.server_flags | (PERSISTENT if port.affinity_seconds else 0)
        return ServerSettings(self._options.scheduler, flags, port.affinity_seconds)

    def _serve(self, key: ServerKey, settings: ServerSettings, backends: frozenset[Backend], name: SetName) -> None:
        self._servers[key] = VirtualServer(settings, backends)
        self._elements.add((name, _element(key)))
        if key.address not in self._node.own:
            self._addresses.add(key.address)
            self._elements.add((SetName.IPVS_IPS, key.address))

    def _serve_node_port(
        self, port: ServicePort, settings: ServerSettings, backends: frozenset[Backend], *, local: bool
    ) -> None:
        names = _NODE_PORT_SETS[port.protocol][: 1 + local]
        for address in self._node.node_ports:
            key = ServerKey(PROTOCOL_NUMBER[port.protocol], address, port.node_port)
            self._servers[key] = VirtualServer(settings, backends)
            if port.protocol == "SCTP":
                self._elements.update((name, _element(key)) for name in names)
        if port.protocol != "SCTP":
            self._elements.update((name, bitmap_port(port.node_port)) for name in names)

    def _fence(self, key: ServerKey, ranges: Collection[Network]) -> None:
        self._elements.add((SetName.LOAD_BALANCER_FIREWALL, _element(key)))
        for network in ranges:
            for part in _representable(network):
                self._elements.add((SetName.SOURCE_CIDR, ip_port_net(key.address, key.protocol, key.port, part)))
        if any(address in network for network in ranges for address in self._node.ips):
            # The node has the address on its dummy interface, so that is where its own packets to it come from.
            self._elements.add((SetName.SOURCE_IP, ip_port_ip(key.address, key.protocol, key.port, key.address)))


def _element(key: ServerKey) -> Element:
    return ip_port(key.address, key.protocol, key.port)


def _backends(endpoints: Iterable[Endpoint]) -> frozenset[Backend]:
    return frozenset([endpoint.address + endpoint.port.to_bytes(2, "big") for endpoint in endpoints])


def _representable(network: Network) -> tuple[Network, ...]:
    """Hashes do not take the prefix length 0, so the network of everything becomes its two halves."""
    if network.prefix_length:
        return (network,)
    length = len(network.address)
    return Network(bytes(length), 1), Network(b"\x80" + bytes(length - 1), 1)
