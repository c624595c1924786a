"""What a packet must meet, said as Kubernetes says it: from a Service port's policies and endpoints to a table.

This is written without a look at what any backend does, and uses none of the model's own conclusions: the API
reference of Service (`internalTrafficPolicy`, `externalTrafficPolicy`, `loadBalancerSourceRanges`), KEP-2086,
KEP-1669, and for who sees which source address the behaviour that users know as "preserving the client's IP".
"""

from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from kproxy.lab.expectation import CLIENT_GROUPS, LOCAL_PODS, Expectation, Seen, Table, Target, answered, failed
from kproxy.lab.probe import Result, Transport
from kproxy.lab.topology import NODE, PODS, address_of
from kproxy.services.addresses import Address
from kproxy.services.model import Endpoint, Policy, ServicePort

POD_OF: dict[Address, str] = {address.ip.packed: name for name, pod in PODS.items() for address in pod.address}
UNDEFINED_PORT = 7


def predict(ports: Iterable[ServicePort], mode: str = "nftables") -> Table:
    """What every client meets at every address of some Service ports, with the node's own address for node ports.

    In iptables mode, as kube-proxy has it, nothing rejects the ports that cluster IPs do not have, nor what the node
    itself sends to addresses outside the cluster for which there is no endpoint (its jumps to KUBE-EXTERNAL-SERVICES
    are for what comes in and what passes through). Without any endpoint, there is no chain for source ranges.
    """
    by_iptables = mode == "iptables"
    table: Table = {}
    cluster_ips = set()
    for port in ports:
        transport: Transport = "UDP" if port.protocol == "UDP" else "TCP"
        cluster_ips.add(_text(port.cluster_ip))
        for client in CLIENT_GROUPS["all"]:
            for address, number in _addresses(port):
                expected = _meets(port, address, client, ranges=port.has_endpoints or not by_iptables)
                if (
                    by_iptables
                    and client == NODE.name
                    and Result.REJECTED in expected.failures
                    and _outside(port, address)
                ):
                    expected = failed(Result.TIMEOUT)
                else:
                    expected = _as_seen_by(client, transport, expected)
                table[Target(client, address, number, transport)] = expected
    for client in CLIENT_GROUPS["all"]:
        for address in () if by_iptables else cluster_ips:
            table[Target(client, address, UNDEFINED_PORT, "TCP")] = failed(Result.REJECTED)
    return table


def _addresses(port: ServicePort) -> Iterator[tuple[str, int]]:
    for address in (port.cluster_ip, *port.external_ips, *port.load_balancer_ips):
        yield _text(address), port.port
    if port.node_port:
        yield _node_address(port), port.node_port


def _outside(port: ServicePort, address: str) -> bool:
    return address in map(_text, (*port.external_ips, *port.load_balancer_ips))


def _meets(port: ServicePort, address: str, client: str, *, ranges: bool) -> Expectation:
    if ranges and not _admitted(port, address, client):
        return failed(Result.TIMEOUT)
    if address == _text(port.cluster_ip):
        only_this_node = port.internal_policy is Policy.LOCAL
        keeps_address = client in LOCAL_PODS
    else:
        # The external policy is about clients outside the cluster. Pods and the node itself would reach the
        # endpoints anyway, so they are spared the way around.
        outside = client not in (*LOCAL_PODS, NODE.name)
        only_this_node = port.external_policy is Policy.LOCAL and outside
        keeps_address = port.external_policy is Policy.LOCAL and client != NODE.name
    endpoints = port.local_endpoints if only_this_node else port.cluster_endpoints
    if endpoints:
        seen: Seen = "own" if keeps_address else "node"
        version = ip_address(address).version
        return answered(client, version, {seen: _pods(endpoints)}, sticky=port.affinity_seconds > 0)
    # Silence where another node has endpoints: a load balancer then tries that one. An error where none has.
    return failed(Result.TIMEOUT if port.has_endpoints else Result.REJECTED)


def _admitted(port: ServicePort, address: str, client: str) -> bool:
    if not port.source_ranges or address not in map(_text, port.load_balancer_ips):
        return True
    source = address_of(client, ip_address(address).version).packed
    return any(source in network for network in port.source_ranges)


def _as_seen_by(client: str, transport: Transport, expected: Expectation) -> Expectation:
    """Linux tells a local sender whose datagram is dropped (EPERM), though nothing comes back from anywhere."""
    if client == NODE.name and transport == "UDP" and Result.TIMEOUT in expected.failures:
        return failed(Result.REJECTED)
    return expected


def _pods(endpoints: Iterable[Endpoint]) -> list[str]:
    return [POD_OF[endpoint.address] for endpoint in endpoints]


def _node_address(port: ServicePort) -> str:
    return str(NODE.address.of(4 if len(port.cluster_ip) == 4 else 6))


def _text(address: Address) -> str:
    return str(ip_address(address))
