"""Do the node's, the pods' and the Services' networks fit together, and packets through the links?"""

from collections.abc import Iterator
from typing import NamedTuple

from kproxy.inspect.doctor.finding import Finding, Remedy, Severity, shell
from kproxy.inspect.doctor.view import NodeView
from kproxy.kernel.links import Interface
from kproxy.services.addresses import Network, format_address, parse_address, parse_network

_ENCAPSULATION = {"vxlan": 50, "geneve": 50, "ipip": 20, "gre": 24, "wireguard": 60}
"""Bytes that the outer headers take over IPv4 (RFC 7348, RFC 2003); over IPv6 20 more."""
_POD_LINKS = ("veth", "bridge")
_SHOWN = 8
_BRIDGES_OF_OTHERS = ("docker0", "virbr")


class Claim(NamedTuple):
    network: Network
    what: str
    kind: str
    """`pods`, `services` or `node`."""
    interface: str = ""
    """That has it, if it is the node's."""


def overlapping(view: NodeView) -> Iterator[Finding]:
    """An address means two things."""
    claims = list(_claims(view))
    seen: set[frozenset[str]] = set()
    for index, one in enumerate(claims):
        for other in claims[index + 1 :]:
            if one.kind == other.kind or not _overlap(one.network, other.network):
                continue
            pair = frozenset((str(one.network), str(other.network), one.kind, other.kind))
            if pair in seen:
                continue
            seen.add(pair)
            remedy = _separation(view, one, other)
            yield Finding(
                check="overlapping-networks",
                severity=Severity.CRITICAL,
                subject=f"{one.network} and {other.network}",
                evidence=(f"{one.network}: {one.what}", f"{other.network}: {other.what}"),
                cause="Packets to the addresses that both have go to one of them only.",
                fixes=remedy.fixes,
                look=remedy.look,
                advice=remedy.advice,
            )


def _separation(view: NodeView, one: Claim, other: Claim) -> Remedy:
    """How to tell them apart again: an address of this node can be taken away, if it is not the node's own."""
    nodes = [claim for claim in (one, other) if claim.interface]
    if not nodes:
        look = (shell("kubectl", "get", "servicecidrs,nodes", "-o", "yaml"),)
        advice = "One of them has to be chosen anew, with the Services or pods that have its addresses."
        return Remedy(look=look, advice=advice)
    claim = nodes[0]
    found = next(i for i in view.interfaces if i.name == claim.interface)
    addresses = [a.address for a in found.networks if a.network == claim.network]
    look = (shell("ip", "address", "show", "dev", found.name),)
    if any(format_address(address) in _told(view) for address in addresses):
        return Remedy(look=look, advice="It is the node's own address: the pods' or Services' network has to change.")
    given = [f"{format_address(address)}/{claim.network.prefix_length}" for address in addresses]
    return Remedy(
        fixes=tuple(shell("ip", "address", "del", text, "dev", found.name) for text in given),
        look=look,
        advice=f"Whatever gave {found.name} the address gives it again: have it use another network.",
    )


def _told(view: NodeView) -> set[str]:
    """The addresses that the Node object has."""
    status = view.desired.node.status if view.desired and view.desired.node else None
    return {entry.address for entry in (status.addresses or () if status else ())}


def _claims(view: NodeView) -> Iterator[Claim]:
    for text in view.configuration.cluster_cidr.split(","):
        if (network := parse_network(text)) is not None:
            yield Claim(network, "clusterCIDR in the proxy's configuration", "pods")
    for node in view.cluster.nodes or () if view.cluster else ():
        for text in node.spec.pod_cidrs or ():
            if (network := parse_network(text)) is not None:
                yield Claim(network, f"podCIDRs of Node {node.metadata.name}", "pods")
    for cidr in view.cluster.service_cidrs or () if view.cluster else ():
        for text in cidr.spec.cidrs or ():
            if (network := parse_network(text)) is not None:
                yield Claim(network, f"ServiceCIDR {cidr.metadata.name}", "services")
    yield from _services(view)
    for interface in view.interfaces:
        if _is_of_pods(interface) or interface.loopback or not interface.up:
            continue
        for _, network in interface.networks:
            if network.prefix_length < len(network.address) * 8 and not _link_local(network):
                yield Claim(network, f"interface {interface.name} of this node", "node", interface.name)


def _services(view: NodeView) -> Iterator[Claim]:
    """Without ServiceCIDR objects, each Service's address stands for itself."""
    if view.cluster is None or view.cluster.service_cidrs:
        return
    for service in view.cluster.services:
        address = parse_address(service.spec.cluster_ip)
        if address is not None:
            name = f"{service.metadata.namespace}/{service.metadata.name}"
            yield Claim(Network(address, len(address) * 8), f"cluster IP of Service {name}", "services")


def _is_of_pods(interface: Interface) -> bool:
    """Bridges, their ports and tunnels carry pods' addresses by design; other programs' bridges do not."""
    if interface.name.startswith(_BRIDGES_OF_OTHERS):
        return False
    return interface.kind in (*_POD_LINKS, *_ENCAPSULATION, "dummy", "ipvlan") or bool(interface.master)


def _link_local(network: Network) -> bool:
    return network.address[:2] in (b"\xa9\xfe", b"\xfe\x80")


def _overlap(one: Network, other: Network) -> bool:
    wide, narrow = sorted((one, other), key=lambda network: network.prefix_length)
    return narrow.address in wide


# ---------------------------------------------------------------------- MTU


def mtu(view: NodeView) -> Iterator[Finding]:
    """Pods send packets that are too large for the way out."""
    uplinks = [i for i in view.interfaces if i.up and not i.loopback and i.networks and not _is_of_pods(i)]
    if not uplinks:
        return
    smallest = min(uplinks, key=lambda interface: interface.mtu)
    tunnels = [i for i in view.interfaces if i.up and i.kind in _ENCAPSULATION]
    for tunnel in tunnels:
        room = smallest.mtu - _ENCAPSULATION[tunnel.kind]
        if tunnel.mtu > room:
            yield _too_large(
                [tunnel],
                room,
                f"{smallest.name} takes {smallest.mtu} bytes, {tunnel.kind} adds {_ENCAPSULATION[tunnel.kind]}",
            )
    room = min([smallest.mtu, *(tunnel.mtu for tunnel in tunnels)])
    way = next((f"{i.name} takes {i.mtu} bytes" for i in (*tunnels, smallest) if i.mtu == room), "")
    large = [i for i in view.interfaces if i.up and i.kind in _POD_LINKS and i.mtu > room]
    if large:
        yield _too_large(large, room, way)


def _too_large(interfaces: list[Interface], room: int, way: str) -> Finding:
    names = [interface.name for interface in interfaces]
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return Finding(
        check="mtu",
        severity=Severity.WARNING,
        subject=f"interface {shown}" if len(names) == 1 else f"interfaces {shown}",
        evidence=(f"MTU {max(interface.mtu for interface in interfaces)}", way),
        cause="Large packets are dropped or need 'fragmentation needed' messages, which firewalls often swallow: "
        "connections open, and hang when data flows.",
        fixes=tuple(shell("ip", "link", "set", name, "mtu", str(room)) for name in names),
        advice=f"Set MTU {room} in the network plugin's configuration, too: pods keep theirs until they are made anew.",
    )
