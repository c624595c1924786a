"""From the model to set elements: which records each port of a Service needs in which set.

A record is an element's key bytes followed by its data bytes, as the registers of a rule hold them: each
field in its own byte order, padded to four bytes.
"""

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from kproxy.backends.nftables.balancers import COUNTERS, MAX_ENDPOINTS, Balancer
from kproxy.backends.nftables.ruleset import DESTINATIONS, Destinations, Scope
from kproxy.backends.nftables.sets import SetName, StickyTimeout
from kproxy.backends.nftables.slots import arrange, by_weight, encode_endpoint, number, own_slots
from kproxy.services.addresses import Address, Network, collapse
from kproxy.services.balancing import Algorithm
from kproxy.services.model import Endpoint, Policy, ServicePort, Verdict
from kproxy.services.objects import Protocol

PROTOCOL_NUMBER: dict[Protocol, int] = {"TCP": 6, "UDP": 17, "SCTP": 132}

Compiled: TypeAlias = tuple[tuple[str, bytes], ...]
"""A Service's records, joined, by set; sets without records are left out."""

Slots: TypeAlias = Callable[[str, bytes], Sequence[bytes]]
"""The endpoints that a destination (its key) has now, in the order of their slots; empty when it has none."""


def destination_key(address: Address, protocol: Protocol, port: int) -> bytes:
    """`daddr . l4proto . dport`; for a node port, with the address b"", `l4proto . dport`."""
    return address + bytes((PROTOCOL_NUMBER[protocol], 0, 0, 0)) + port.to_bytes(2, "big") + b"\0\0"


def _no_slots(set_name: str, key: bytes) -> Sequence[bytes]:
    return ()


def compile_service(ports: Iterable[ServicePort], slots: Slots = _no_slots, node_ip: Address | None = None) -> Compiled:
    """Compute all records of a Service in one family.

    Args:
        ports: the Service's ports
        slots: where its endpoints are now, so that what stays need not be written
        node_ip: this node's address, for source ranges that include it
    """
    records: dict[str, list[bytes]] = {}
    for port in ports:
        _Compiler(port, slots, records, node_ip).run()
    return tuple(
        [
            (name, b"".join(dict.fromkeys(parts) if len(parts) > 1 and name.startswith(_REPEATED) else parts))
            for name, parts in records.items()
        ]
    )


_REPEATED = (
    SetName.CLUSTER_IPS.value,
    SetName.EXTERNAL_IPS.value,
    SetName.LOCAL_ENDPOINT_IPS.value,
    SetName.STICKY_SERVICES.value,
    SetName.STICKY_NODEPORTS.value,
)
"""Sets (or what their names begin with) in which several ports or policies of a Service have the same record."""

_SERVICE, _SERVICE_LOCAL, _NODEPORT, _NODEPORT_LOCAL = DESTINATIONS
_CLUSTER_ENDPOINTS = {Scope.SERVICE: _SERVICE, Scope.NODEPORT: _NODEPORT}
_LOCAL_ENDPOINTS = {Scope.SERVICE: _SERVICE_LOCAL, Scope.NODEPORT: _NODEPORT_LOCAL}
_LOCAL_POLICY = {Scope.SERVICE: SetName.LOCAL_POLICY_SERVICES, Scope.NODEPORT: SetName.LOCAL_POLICY_NODEPORTS}
_REFUSALS = {
    (Scope.SERVICE, Verdict.REJECT): SetName.REJECTED_SERVICES,
    (Scope.SERVICE, Verdict.DROP): SetName.DROPPED_SERVICES,
    (Scope.NODEPORT, Verdict.REJECT): SetName.REJECTED_NODEPORTS,
    (Scope.NODEPORT, Verdict.DROP): SetName.DROPPED_NODEPORTS,
}


class _Compiler:
    """The records of one port."""

    def __init__(
        self, port: ServicePort, slots: Slots, records: dict[str, list[bytes]], node_ip: Address | None
    ) -> None:
        self.port = port
        self.node_ip = node_ip
        self.slots = slots
        self.records = records
        self.cluster = port.cluster_endpoints
        self.local = port.local_endpoints

    def run(self) -> None:
        port = self.port
        key = destination_key(port.cluster_ip, port.protocol, port.port)
        self.add(SetName.CLUSTER_IPS, port.cluster_ip)
        if port.internal_verdict is Verdict.BALANCE:
            endpoints = self.local if port.internal_policy is Policy.LOCAL else self.cluster
            self.balance(_SERVICE, key, endpoints)
        else:
            self.add(_REFUSALS[Scope.SERVICE, port.internal_verdict], key)
        for address in port.external_addresses():
            self.add(SetName.EXTERNAL_IPS, address)
            self.external(Scope.SERVICE, destination_key(address, port.protocol, port.port))
        if port.node_port:
            self.external(Scope.NODEPORT, destination_key(b"", port.protocol, port.node_port))
        if port.source_ranges:
            self.firewall()
        for endpoint in (*port.cluster_endpoints, *port.local_endpoints):
            if endpoint.local:
                self.add(SetName.LOCAL_ENDPOINT_IPS, endpoint.address + endpoint.address)

    def add(self, name: str, record: bytes) -> None:
        self.records.setdefault(name, []).append(record)

    def external(self, scope: Scope, key: bytes) -> None:
        port = self.port
        if port.external_policy is Policy.LOCAL:
            if port.has_endpoints:
                self.add(_LOCAL_POLICY[scope], key)
                self.balance(_CLUSTER_ENDPOINTS[scope], key, self.cluster)
                self.balance(_LOCAL_ENDPOINTS[scope], key, self.local)
        else:
            self.balance(_CLUSTER_ENDPOINTS[scope], key, self.cluster, masquerade=True)
        if port.external_verdict is not Verdict.BALANCE:
            self.add(_REFUSALS[scope, port.external_verdict], key)

    def balance(
        self, kind: Destinations, key: bytes, endpoints: Sequence[Endpoint], *, masquerade: bool = False
    ) -> None:
        if not endpoints:
            return
        encoded = sorted([encode_endpoint(e) for e in endpoints])[:MAX_ENDPOINTS]
        weighted = self.port.algorithm is Algorithm.WEIGHTED
        numbered = by_weight(endpoints) if weighted else encoded
        if self.port.affinity_seconds:
            self.stick(kind, key, encoded, numbered)
        else:
            order = numbered if weighted else arrange(self.slots(kind.endpoints, key), encoded)
            self.add(kind.endpoints, number(key, order))
        self.add(kind.ports, key + self.balancer(len(numbered), masquerade).encoded)

    def balancer(self, count: int, masquerade: bool) -> Balancer:
        algorithm = self.port.algorithm
        if algorithm is Algorithm.ROUND_ROBIN:
            return Balancer(count, masquerade, algorithm, zlib.crc32(str(self.port).encode()) % COUNTERS)
        return Balancer(count, masquerade, Algorithm.RANDOM if algorithm is Algorithm.WEIGHTED else algorithm)

    def stick(self, kind: Destinations, key: bytes, endpoints: Sequence[bytes], numbered: Sequence[bytes]) -> None:
        """Endpoints in slots of their own, and the numbers that a balancer draws leading there."""
        slots = own_slots(endpoints)
        picks: Sequence[bytes] = [slots[endpoint] for endpoint in numbered]
        if self.port.algorithm is not Algorithm.WEIGHTED:
            picks = arrange(self.slots(kind.picks, key), picks)
        self.add(kind.endpoints, b"".join([key + slot + endpoint for endpoint, slot in slots.items()]))
        self.add(kind.picks, number(key, picks))
        self.add(kind.sticky, key)
        self.add(StickyTimeout(kind.sticky, self.port.affinity_seconds).name, key)

    def firewall(self) -> None:
        """Only load balancer IPs are fenced; a client of a fenced one must be in one of the ranges.

        A node that has the load balancer IP on an interface of its own reaches it with that very address as
        the source; where the ranges admit the node, they admit this address too.
        """
        port = self.port
        admitted = list(port.source_ranges)
        if any(self.node_ip in network for network in port.source_ranges):
            admitted += [Network(ip, len(ip) * 8) for ip in port.load_balancer_ips]
        ranges = collapse(admitted)
        for address in port.load_balancer_ips:
            key = destination_key(address, port.protocol, port.port)
            self.add(SetName.FIREWALLED_SERVICES, key)
            for network in ranges:
                self.add(SetName.ALLOWED_SOURCES, key + network.address + key + last_address(network))


def last_address(network: Network) -> Address:
    """The highest address of a network."""
    host_bits = (1 << (len(network.address) * 8 - network.prefix_length)) - 1
    return (int.from_bytes(network.address, "big") | host_bits).to_bytes(len(network.address), "big")
