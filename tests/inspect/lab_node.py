"""The lab's node as packets and routes, for evaluations without a kernel."""

from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address

from kproxy.inspect.rulesets.packet import Packet
from kproxy.inspect.rulesets.routes import Route, StaticRoutes
from kproxy.lab.topology import EXTERNAL, NODE, NODE_OF, PODS, address_of
from kproxy.services.addresses import Address, Network, parse_network
from kproxy.services.objects import Protocol

BRIDGE, UPLINK = "cni0", "eth0"
LOCALHOST = {IPv4Address("127.0.0.1").packed, IPv6Address("::1").packed}
NODE_ADDRESSES = {each.ip.packed for each in (*NODE.address, *NODE.bridge)}
POD_AT = {each.ip.packed: name for name, pod in PODS.items() for each in pod.address}


def routes(virtual: Collection[Address] = (), own: Collection[Address] = NODE_ADDRESSES) -> StaticRoutes:
    """The node's routes.

    Args:
        virtual: addresses of Services that the node has on an interface, as in IPVS mode
        own: its other addresses
    """
    ways = []
    for version in (4, 6):
        own_net = next(net for net in NODE.pod_cidrs if net.version == version)
        ways.append((_network(str(own_net)), Route(BRIDGE, NODE.bridge.of(version).packed)))
        ways.append((_network("0.0.0.0/0" if version == 4 else "::/0"), Route(UPLINK, NODE.address.of(version).packed)))
    return StaticRoutes({*own, *LOCALHOST, *virtual}, ways)


def packet(
    client: str, destination: Address, port: int, protocol: Protocol, way: StaticRoutes, *, bridged: bool = False
) -> Packet:
    """The first packet from one of the lab's vantage points.

    Args:
        client: which
        destination: an address
        port: the port there
        protocol: the transport
        way: the node's routes
        bridged: whether the bridge asks netfilter
    """
    version = 4 if len(destination) == 4 else 6
    if client == NODE.name:
        route = way.towards(destination)
        source = destination if way.is_local(destination) else route.source if route else None
        assert source is not None
        return Packet(
            source=source, destination=destination, protocol=protocol, port=port, input_interface="", bridged=False
        )
    on_node = client != EXTERNAL.name and NODE_OF.get(client) is NODE
    return Packet(
        source=address_of(client, version).packed,
        destination=destination,
        protocol=protocol,
        port=port,
        input_interface=BRIDGE if on_node else UPLINK,
        bridged=on_node and bridged,
        by_bridge=on_node,
    )


def _network(text: str) -> Network:
    network = parse_network(text)
    assert network is not None
    return network
