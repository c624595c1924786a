"""Do other programs' firewalls let packets for pods and NodePorts pass?"""

import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import msgspec

from kproxy.config.defaults import mode_settings
from kproxy.inspect.doctor.finding import Finding, Severity, shell
from kproxy.inspect.doctor.firewalls import Blocker, Place, Sample, blockers, read_firewalls
from kproxy.inspect.doctor.view import NodeView
from kproxy.inspect.rulesets.kernel_routes import KernelRoutes
from kproxy.inspect.rulesets.packet import Hook, Packet
from kproxy.inspect.rulesets.routes import Routes
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.services.addresses import Address, Family, Network, parse_network
from kproxy.services.model import ServicePort
from kproxy.services.objects import Protocol

NODE_PORTS = (30_000, 32_767)
"""`--service-node-port-range` of an API server, by default."""
_CLIENTS = {
    Family.IPV4: socket.inet_pton(socket.AF_INET, "198.51.100.1"),
    Family.IPV6: socket.inet_pton(socket.AF_INET6, "2001:db8::1"),
}
"""From networks for documentation (RFC 5737, RFC 3849): no firewall knows them."""
_UNKNOWN_PODS = Network(socket.inet_pton(socket.AF_INET, "198.18.0.0"), 15)
"""A network for benchmarks (RFC 2544)."""
_NOT_NAMED = "eth-any"
"""An interface that no rule names."""
_DYNAMIC_PORT = 49_152
"""Of those that nobody may count on (RFC 6335)."""
_DESTINATION_NAT = -100
"""The priority at which proxies translate (NF_IP_PRI_NAT_DST)."""
_LASTING = "Rules added by a command are gone after a restart: add them to the firewall's own configuration, too."


class Match(NamedTuple):
    """One kind of packets, in each language."""

    nft: tuple[str, ...]
    iptables: tuple[str, ...]


def pod_networks(view: NodeView) -> list[Network]:
    """The pods' networks: `clusterCIDR`, else the Nodes' podCIDRs."""
    configured = [parse_network(text) for text in view.configuration.cluster_cidr.split(",") if text.strip()]
    if configured:
        return [network for network in configured if network is not None]
    nodes = view.cluster.nodes if view.cluster and view.cluster.nodes else []
    listed = [text for node in nodes for text in node.spec.pod_cidrs or ()]
    return [network for text in listed if (network := parse_network(text)) is not None]


# ---------------------------------------------------------------------- forwarded packets


def forward_policy(view: NodeView) -> Iterator[Finding]:
    """A firewall drops what it does not know, and does not know pods."""
    pods = pod_networks(view)
    firewalls = read_firewalls()
    with closing(KernelRoutes()) as routes:
        for family in Family:
            asked = [network for network in pods or [_UNKNOWN_PODS] if len(network.address) == family.length]
            samples = [sample for network in asked for sample in _of_pods(view, network, family, routes)]
            for blocker in blockers(firewalls, routes, family, Hook.FORWARD, samples):
                yield _blocked_pods(blocker, asked if pods else [])
    yield from _unread(firewalls)


def _unread(firewalls: Snapshot) -> Iterator[Finding]:
    """Rules that could not be read; those of programs that are not installed are none."""
    unread = tuple(words for words in firewalls.unread if os.strerror(errno.ENOENT) not in words)
    if unread:
        yield Finding(
            check="forward-policy",
            severity=Severity.NOTE,
            subject="packet filters",
            evidence=unread,
            cause="What could not be read may drop packets all the same.",
            advice="See that the programs work here, and run the check again.",
        )


def _of_pods(view: NodeView, pods: Network, family: Family, routes: Routes) -> Iterator[Sample]:
    one, other = _inside(pods, 10), _inside(pods, 11)
    client = _CLIENTS[family]
    # Modes that mark what is to be masqueraded accept what is marked.
    mark = 1 << (mode_settings(view.configuration).masquerade_bit or 0) if view.mode in ("iptables", "ipvs") else 0
    for source, destination, words in (
        (one, other, f"from pod to pod ({pods})"),
        (one, client, f"from pods ({pods}) to others"),
        (client, one, f"from NodePorts to pods ({pods})"),
    ):
        yield Sample(
            words,
            Packet(
                source=source,
                destination=destination,
                protocol="TCP",
                port=8080,
                input_interface=_interface(routes, source),
                output_interface=_interface(routes, destination),
                bridged=False,
                redirected=source == client,
                mark=mark if source == client else 0,
            ),
        )


def _inside(network: Network, number: int) -> Address:
    bits = len(network.address) * 8 - network.prefix_length
    value = int.from_bytes(network.address, "big") | number & (1 << bits) - 1
    return value.to_bytes(len(network.address), "big")


def _interface(routes: Routes, address: Address) -> str:
    route = routes.towards(address)
    return route.interface if route and route.interface else _NOT_NAMED


def _blocked_pods(blocker: Blocker, pods: Sequence[Network]) -> Finding:
    header = "ip" if any(len(network.address) == 4 for network in pods) else "ip6"
    matches = [
        Match((header, f"{side}addr", str(network)), (f"-{side}", str(network))) for network in pods for side in "sd"
    ]
    match blocker.owner:
        case "firewalld":
            zone = ("firewall-cmd", "--permanent", "--zone=trusted")
            fixes = [shell(*zone, f"--add-source={network}") for network in pods]
            fixes += [shell("firewall-cmd", "--reload")] if pods else []
        case "ufw":
            fixes = [shell("ufw", "route", "allow", side, str(network)) for network in pods for side in ("from", "to")]
        case "docker":
            # Docker rewrites FORWARD, and leaves DOCKER-USER to others.
            fixes = list(_accepting(blocker.place._replace(chain="DOCKER-USER"), matches))
        case _:
            fixes = list(_accepting(blocker.place, matches))
    unknown = "" if pods else "The pods' networks are not known: set clusterCIDR, or have the firewall accept them. "
    return _finding(
        "forward-policy",
        blocker,
        "Packets between pods, and from outside to pods, are forwarded ones; these are dropped.",
        fixes,
        unknown,
    )


# ---------------------------------------------------------------------- NodePorts


def node_ports(view: NodeView) -> Iterator[Finding]:
    """A firewall drops packets to the node before they are translated, or when the node itself takes them."""
    if view.desired is None:
        return
    ports = [port for port in view.ports() if port.node_port]
    if not ports:
        return
    firewalls = read_firewalls()
    with closing(KernelRoutes()) as routes:
        for family in Family:
            addresses = sorted(a for a in view.desired.node_port_addresses if len(a) == family.length)
            mine = [port for port in ports if port.family is family]
            if not addresses or not mine:
                continue
            samples = [_to_node(port, addresses[0], routes) for port in mine]
            # IPVS takes packets on their way to local processes, untranslated; userspace mode is such a process.
            late = view.mode in ("ipvs", "userspace")
            before = 1 << 31 if view.mode == "ipvs" else _DESTINATION_NAT
            found = blockers(firewalls, routes, family, Hook.PREROUTING, samples, before=before)
            if late:
                arrived = [_translated(sample) for sample in samples] if view.mode == "userspace" else samples
                found += blockers(firewalls, routes, family, Hook.INPUT, arrived)
            for blocker in found:
                yield _blocked_node_ports(view, blocker, mine)


def _to_node(port: ServicePort, address: Address, routes: Routes) -> Sample:
    client = _CLIENTS[port.family]
    packet = Packet(
        source=client,
        destination=address,
        protocol=port.protocol,
        port=port.node_port,
        input_interface=_interface(routes, client),
        output_interface="",
        bridged=False,
    )
    return Sample(f"to NodePort {port.node_port}/{port.protocol}", packet)


def _translated(sample: Sample) -> Sample:
    """As userspace mode has them: at a socket of the proxy, whose port the kernel has chosen."""
    return Sample(sample.words, msgspec.structs.replace(sample.packet, redirected=True, port=_DYNAMIC_PORT))


def _blocked_node_ports(view: NodeView, blocker: Blocker, ports: Sequence[ServicePort]) -> Finding:
    wanted = sorted({(port.protocol, span) for port in ports for span in [_span(port.node_port)]})
    translated = view.mode == "userspace" and blocker.place.chain.lower() == "input"
    match blocker.owner:
        case "firewalld":
            allow = ("firewall-cmd", "--permanent")
            fixes = [shell(*allow, f"--add-port={'-'.join(map(str, s))}/{p.lower()}") for p, s in wanted]
            fixes.append(shell("firewall-cmd", "--reload"))
        case "ufw" if blocker.place.chain == "INPUT":
            fixes = [shell("ufw", "allow", f"{':'.join(map(str, s))}/{p.lower()}") for p, s in wanted]
        case _ if translated:
            # By then they have the port of the proxy's own socket.
            match_translated = Match(("ct", "status", "dnat"), ("-m", "conntrack", "--ctstate", "DNAT"))
            fixes = list(_accepting(blocker.place, [match_translated]))
        case _:
            fixes = list(_accepting(blocker.place, [_to_ports(p, s) for p, s in wanted]))
    return _finding(
        "node-port-firewall",
        blocker,
        "What clients send to NodePorts is dropped before it is balanced.",
        fixes,
    )


def _span(node_port: int) -> tuple[int, ...]:
    first, last = NODE_PORTS
    return NODE_PORTS if first <= node_port <= last else (node_port,)


def _to_ports(protocol: Protocol, span: tuple[int, ...]) -> Match:
    name = protocol.lower()
    return Match((name, "dport", "-".join(map(str, span))), ("-p", name, "--dport", ":".join(map(str, span))))


# ---------------------------------------------------------------------- both


def _accepting(place: Place, matches: Iterable[Match]) -> Iterator[str]:
    """The commands that put accepting rules before all others of a chain."""
    for match in matches:
        if place.tool == "nft":
            yield shell("nft", "insert", "rule", place.family, place.table, place.chain, *match.nft, "accept")
        else:
            table = () if place.table == "filter" else ("-t", place.table)
            yield shell(place.tool, *table, "-I", place.chain, *match.iptables, "-j", "ACCEPT")


def _finding(check: str, blocker: Blocker, cause: str, fixes: Sequence[str], advice: str = "") -> Finding:
    by_program = blocker.owner in ("firewalld", "ufw")
    shown = blocker.samples[:5]
    more = [f"and {len(blocker.samples) - len(shown)} more"] if len(blocker.samples) > len(shown) else []
    return Finding(
        check=check,
        # What is not understood may let them pass.
        severity=Severity.WARNING if blocker.doubts else Severity.CRITICAL,
        subject=f"{blocker.place} ({blocker.owner})",
        evidence=(
            *(f"it drops packets {words}" for words in (*shown, *more)),
            *blocker.rules,
            *(f"not understood: {doubt}" for doubt in blocker.doubts[:5]),
        ),
        cause=cause,
        fixes=tuple(fixes),
        advice=(advice + ("" if by_program or not fixes else _LASTING)).strip(),
    )
