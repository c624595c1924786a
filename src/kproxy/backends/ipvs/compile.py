"""From the model to IPVS: which virtual servers, addresses and set elements a Service needs in one family.

What follows from a Service alone is computed once, as its frontends; a change of endpoints touches backends only.
"""

from collections.abc import Collection, Iterable, Mapping
from operator import attrgetter
from typing import NamedTuple, TypeAlias

from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.schedulers import FOR_ALGORITHM, flags
from kproxy.backends.ipvs.sets import SetName
from kproxy.kernel.ipset.elements import Element, bitmap_port, ip_port, ip_port_ip, ip_port_net
from kproxy.kernel.ipvs.protocol import PERSISTENT, Backend, ServerKey, ServerSettings
from kproxy.services.addresses import Address, Network
from kproxy.services.balancing import Algorithm
from kproxy.services.model import Endpoint, Policy, ServicePort
from kproxy.services.objects import Protocol

PROTOCOL_NUMBER: dict[Protocol, int] = {"TCP": 6, "UDP": 17, "SCTP": 132}

Weights: TypeAlias = Mapping[Backend, int]
"""Real servers with their weights."""
Elements: TypeAlias = frozenset[tuple[SetName, Element]]


class VirtualServer(NamedTuple):
    settings: ServerSettings
    backends: Weights


class NodeAddresses(NamedTuple):
    """What of the node a Service's virtual servers depend on."""

    node_ports: frozenset[Address] = frozenset()
    """Where NodePorts answer."""
    own: frozenset[Address] = frozenset()
    """Every address on interfaces other than ours: not to be put on the dummy interface as well."""
    ips: frozenset[Address] = frozenset()
    """The node's own address, which source ranges may admit."""


class Frontend(NamedTuple):
    """What one port of a Service needs, whichever endpoints it has."""

    settings: ServerSettings
    internal: ServerKey
    external: tuple[ServerKey, ...]


class Frontends(NamedTuple):
    """What one Service needs, whichever endpoints it has."""

    origin: tuple[object, ...]
    """What they were computed from."""
    ports: tuple[Frontend, ...]
    addresses: frozenset[Address]
    """For the dummy interface."""
    elements: Elements
    depends_on_node: bool
    """There are node ports, or source ranges, which may admit the node."""


class Compiled(NamedTuple):
    """All that one Service needs."""

    frontends: Frontends
    """The same object as long as only endpoints change."""
    servers: dict[ServerKey, VirtualServer]
    hairpins: Elements
    """For local endpoints, which may reach themselves by way of the Service."""


_NO_HAIRPINS: Elements = frozenset()
NOTHING = Compiled(Frontends((), (), frozenset(), frozenset(), False), {}, _NO_HAIRPINS)

_OF_ENDPOINTS = {"cluster_endpoints", "local_endpoints", "has_endpoints"}
_is_local = attrgetter("local")
_of_service = attrgetter(*(field for field in ServicePort.__struct_fields__ if field not in _OF_ENDPOINTS))


def compile_service(
    ports: Collection[ServicePort], options: IpvsOptions, node: NodeAddresses, old: Compiled = NOTHING
) -> Compiled:
    """Compute what a Service needs.

    Args:
        ports: in one family
        options: how virtual servers are made
        node: its addresses
        old: what was computed before, with the same options; whatever still holds is taken from it
    """
    if not ports:
        return NOTHING
    origin: tuple[object, ...] = (node, *[_of_service(port) for port in ports])
    frontends = old.frontends
    if origin != frontends.origin:
        compiler = _FrontendCompiler(options, node)
        frontends = compiler.frontends(origin, [compiler.add(port) for port in ports])
    servers: dict[ServerKey, VirtualServer] = {}
    hairpins = []
    for port, (settings, internal_key, external_keys) in zip(ports, frontends.ports, strict=True):
        weigh = _weighted if port.algorithm is Algorithm.WEIGHTED else _equal
        internal = VirtualServer(settings, weigh(port.internal_endpoints))
        servers[internal_key] = internal
        if external_keys:
            endpoints = _external_endpoints(port)
            same = endpoints is port.internal_endpoints
            external = internal if same else VirtualServer(settings, weigh(endpoints))
            servers.update(dict.fromkeys(external_keys, external))
        local = [*port.local_endpoints, *filter(_is_local, port.cluster_endpoints)]
        if local:
            number = PROTOCOL_NUMBER[port.protocol]
            hairpins += [(SetName.LOOP_BACK, ip_port_ip(e.address, number, e.port, e.address)) for e in local]
    return Compiled(frontends, servers, frozenset(hairpins) if hairpins else _NO_HAIRPINS)


def _external_endpoints(port: ServicePort) -> tuple[Endpoint, ...]:
    """Who answers on external addresses.

    One virtual server cannot tell sources apart, and pods and the node itself may reach every endpoint. With no
    local one, clients from outside reach the others too, whose answers, not being masqueraded, do not arrive.
    """
    return port.external_endpoints or port.cluster_endpoints


class _PortBytes(dict[int, bytes]):
    """Ports in network order, each made once."""

    def __missing__(self, port: int) -> bytes:
        self[port] = made = port.to_bytes(2, "big")
        return made


_PORT_BYTES = _PortBytes()


def _equal(endpoints: Iterable[Endpoint]) -> Weights:
    return {e.address + _PORT_BYTES[e.port]: 1 for e in endpoints}


def _weighted(endpoints: Iterable[Endpoint]) -> Weights:
    """What weighs 0 gets nothing while anything else has weight."""
    weights = {e.address + _PORT_BYTES[e.port]: e.weight for e in endpoints}
    return weights if any(weights.values()) else dict.fromkeys(weights, 1)


_NODE_PORT_SETS: dict[Protocol, tuple[SetName, SetName]] = {
    "TCP": (SetName.NODE_PORT_TCP, SetName.NODE_PORT_LOCAL_TCP),
    "UDP": (SetName.NODE_PORT_UDP, SetName.NODE_PORT_LOCAL_UDP),
    "SCTP": (SetName.NODE_PORT_SCTP, SetName.NODE_PORT_LOCAL_SCTP),
}


class _FrontendCompiler:
    """Collects what the ports of one Service need."""

    def __init__(self, options: IpvsOptions, node: NodeAddresses) -> None:
        self._options, self._node = options, node
        self._addresses: set[Address] = set()
        self._elements: set[tuple[SetName, Element]] = set()
        self._depends_on_node = False

    def frontends(self, origin: tuple[object, ...], ports: Iterable[Frontend]) -> Frontends:
        addresses, elements = frozenset(self._addresses), frozenset(self._elements)
        return Frontends(origin, tuple(ports), addresses, elements, self._depends_on_node)

    def add(self, port: ServicePort) -> Frontend:
        number, local = PROTOCOL_NUMBER[port.protocol], port.external_policy is Policy.LOCAL
        internal = ServerKey(number, port.cluster_ip, port.port)
        self._serve(internal, SetName.CLUSTER_IP)
        external = []
        for address in port.external_ips:
            external.append(ServerKey(number, address, port.port))
            self._serve(external[-1], SetName.EXTERNAL_IP_LOCAL if local else SetName.EXTERNAL_IP)
        for address in port.load_balancer_ips:
            external.append(ServerKey(number, address, port.port))
            self._serve_load_balancer(external[-1], port, local=local)
        if port.node_port:
            external += self._node_port_keys(port, local=local)
        if port.health_check_node_port:
            self._elements.add((SetName.HEALTH_CHECK_NODE_PORT, bitmap_port(port.health_check_node_port)))
        self._depends_on_node |= bool(port.node_port or port.source_ranges)
        return Frontend(self._settings(port), internal, tuple(external))

    def _settings(self, port: ServicePort) -> ServerSettings:
        scheduler = FOR_ALGORITHM.get(port.algorithm, self._options.scheduler)
        persistent = PERSISTENT if port.affinity_seconds else 0
        return ServerSettings(scheduler, flags(scheduler) | persistent, port.affinity_seconds)

    def _serve(self, key: ServerKey, name: SetName) -> None:
        self._elements.add((name, _element(key)))
        if key.address not in self._node.own:
            self._addresses.add(key.address)
            self._elements.add((SetName.IPVS_IPS, key.address))

    def _serve_load_balancer(self, key: ServerKey, port: ServicePort, *, local: bool) -> None:
        self._serve(key, SetName.LOAD_BALANCER)
        if local:
            self._elements.add((SetName.LOAD_BALANCER_LOCAL, _element(key)))
        if port.source_ranges:
            self._fence(key, port.source_ranges)

    def _node_port_keys(self, port: ServicePort, *, local: bool) -> list[ServerKey]:
        names = _NODE_PORT_SETS[port.protocol][: 1 + local]
        keys = [ServerKey(PROTOCOL_NUMBER[port.protocol], a, port.node_port) for a in self._node.node_ports]
        sctp = port.protocol == "SCTP"
        elements = map(_element, keys) if sctp else (bitmap_port(port.node_port),)
        self._elements.update((name, element) for element in elements for name in names)
        return keys

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


def _representable(network: Network) -> tuple[Network, ...]:
    """Hashes do not take the prefix length 0, so the network of everything becomes its two halves."""
    if network.prefix_length:
        return (network,)
    length = len(network.address)
    return Network(bytes(length), 1), Network(b"\x80" + bytes(length - 1), 1)
