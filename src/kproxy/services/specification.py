"""A Service object, checked and packed: what is kept of it in memory, in both IP families.

Everything in an object may be wrong, also what an API server should have refused. A bad part is left out
and reported as a `Problem`; the rest of the Service works.
"""

from typing import NamedTuple

import msgspec

from kproxy.services.addresses import Address, Family, Network, parse_address, parse_network
from kproxy.services.balancing import Algorithm, TopologyWeights, parse_algorithm, parse_topology_weights
from kproxy.services.model import Policy, ServiceName
from kproxy.services.objects import BALANCING_ANNOTATION, PROXY_NAME_LABEL, WEIGHTS_ANNOTATION, Protocol, Service

DEFAULT_AFFINITY_SECONDS = 10_800
"""`sessionAffinityConfig.clientIP.timeoutSeconds`, when the object has none (core/v1)."""


class ObjectReference(NamedTuple):
    """Which object is meant."""

    kind: str
    namespace: str
    name: str
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


class Problem(NamedTuple):
    """Something in an object that was left out, and why."""

    object: ObjectReference
    field: str
    reason: str

    def __str__(self) -> str:
        return f"{self.object}: {self.field}: {self.reason}"


class PortSpecification(msgspec.Struct, frozen=True, gc=False):
    name: str
    protocol: Protocol
    port: int
    node_port: int


class FamilyAddresses(msgspec.Struct, frozen=True, gc=False):
    """The addresses of a Service in one IP family."""

    cluster_ip: Address
    external_ips: tuple[Address, ...] = ()
    load_balancer_ips: tuple[Address, ...] = ()
    source_ranges: tuple[Network, ...] = ()


class Specification(msgspec.Struct, frozen=True, gc=False):
    """A Service that this proxy serves."""

    name: ServiceName
    ipv4: FamilyAddresses | None
    ipv6: FamilyAddresses | None
    ports: tuple[PortSpecification, ...]
    internal_policy: Policy
    external_policy: Policy
    affinity_seconds: int
    algorithm: Algorithm
    topology_weights: TopologyWeights
    health_check_node_port: int
    created: str
    """`creationTimestamp`: of two Services that claim an address and port, the older one has it."""

    def addresses(self, family: Family) -> FamilyAddresses | None:
        return self.ipv4 if family is Family.IPV4 else self.ipv6


def is_served(service: Service) -> bool:
    """Whether a kube-proxy handles this Service: not headless, not ExternalName, not another proxy's."""
    spec = service.spec
    if PROXY_NAME_LABEL in (service.metadata.labels or {}) or spec.type == "ExternalName":
        return False
    return spec.cluster_ip not in ("", "None") or any(ip not in ("", "None") for ip in spec.cluster_ips or ())


def specify(service: Service) -> tuple[Specification | None, list[Problem]]:
    """Check a Service. None when it is not ours to serve, or when nothing of it can be."""
    if not is_served(service):
        return None, []
    return _Reader(service).read()


class _Reader:
    def __init__(self, service: Service) -> None:
        self.service = service
        self.name = ServiceName(service.metadata.namespace, service.metadata.name)
        self.problems: list[Problem] = []

    def refuse(self, field: str, reason: str) -> None:
        reference = ObjectReference("Service", *self.name, self.service.metadata.uid)
        self.problems.append(Problem(reference, field, reason))

    def read(self) -> tuple[Specification | None, list[Problem]]:
        spec = self.service.spec
        external = self._has_external_policy()
        health_port = spec.health_check_node_port
        specification = Specification(
            name=self.name,
            ipv4=None,
            ipv6=None,
            ports=self._ports(),
            internal_policy=Policy.LOCAL if spec.internal_traffic_policy == "Local" else Policy.CLUSTER,
            external_policy=Policy.LOCAL if external and spec.external_traffic_policy == "Local" else Policy.CLUSTER,
            affinity_seconds=self._affinity_seconds(),
            algorithm=self._algorithm(),
            topology_weights=self._topology_weights(),
            health_check_node_port=health_port if self._needs_health_check() and 0 < health_port < 65536 else 0,
            created=self.service.metadata.creation_timestamp or "",
        )
        by_family = self._addresses()
        if not by_family or not specification.ports:
            return None, self.problems
        packed = msgspec.structs.replace(
            specification, ipv4=by_family.get(Family.IPV4), ipv6=by_family.get(Family.IPV6)
        )
        return packed, self.problems

    def _has_external_policy(self) -> bool:
        spec = self.service.spec
        return spec.type in ("NodePort", "LoadBalancer") or (spec.type == "ClusterIP" and bool(spec.external_ips))

    def _needs_health_check(self) -> bool:
        spec = self.service.spec
        return spec.type == "LoadBalancer" and spec.external_traffic_policy == "Local"

    def _affinity_seconds(self) -> int:
        spec = self.service.spec
        if spec.session_affinity != "ClientIP":
            return 0
        config = spec.session_affinity_config
        seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
        if seconds is None:
            return DEFAULT_AFFINITY_SECONDS
        if not 0 < seconds <= 86_400:
            self.refuse("spec.sessionAffinityConfig.clientIP.timeoutSeconds", f"{seconds} is not between 1 and 86400")
            return DEFAULT_AFFINITY_SECONDS
        return seconds

    def _algorithm(self) -> Algorithm:
        text = (self.service.metadata.annotations or {}).get(BALANCING_ANNOTATION)
        if text is None:
            return Algorithm.RANDOM
        algorithm = parse_algorithm(text)
        if algorithm is None:
            known = ", ".join(a.value for a in Algorithm)
            self.refuse(f"metadata.annotations[{BALANCING_ANNOTATION}]", f"{text!r} is none of {known}")
        return algorithm or Algorithm.RANDOM

    def _topology_weights(self) -> TopologyWeights:
        text = (self.service.metadata.annotations or {}).get(WEIGHTS_ANNOTATION)
        if text is None:
            return TopologyWeights()
        try:
            return parse_topology_weights(text)
        except ValueError as error:
            self.refuse(f"metadata.annotations[{WEIGHTS_ANNOTATION}]", str(error))
            return TopologyWeights()

    def _ports(self) -> tuple[PortSpecification, ...]:
        ports = []
        seen = set()
        node_ports = set()
        for i, port in enumerate(self.service.spec.ports or ()):
            if not 0 < port.port < 65536:
                self.refuse(f"spec.ports[{i}].port", f"{port.port} is not between 1 and 65535")
                continue
            if (port.port, port.protocol) in seen:
                self.refuse(f"spec.ports[{i}].port", f"{port.port}/{port.protocol} stands twice")
                continue
            seen.add((port.port, port.protocol))
            node_port = port.node_port
            if not 0 <= node_port < 65536:
                self.refuse(f"spec.ports[{i}].nodePort", f"{node_port} is not between 1 and 65535")
                node_port = 0
            if node_port and (node_port, port.protocol) in node_ports:
                self.refuse(f"spec.ports[{i}].nodePort", f"{node_port}/{port.protocol} stands twice")
                node_port = 0
            node_ports.add((node_port, port.protocol))
            ports.append(PortSpecification(port.name, port.protocol, port.port, node_port))
        return tuple(ports)

    def _addresses(self) -> dict[Family, FamilyAddresses]:
        spec, status = self.service.spec, self.service.status
        cluster_ips = self._parse("spec.clusterIPs", [ip for ip in spec.cluster_ips or [spec.cluster_ip] if ip])
        external = [a for a in self._parse("spec.externalIPs", spec.external_ips or []) if a not in cluster_ips]
        ingress = status.load_balancer.ingress or [] if status and status.load_balancer else []
        vips = [i.ip for i in ingress if i.ip and i.ip_mode in (None, "VIP")]
        load_balancer = [a for a in self._parse("status.loadBalancer.ingress.ip", vips) if a not in cluster_ips]
        ranges = self._source_ranges()
        result = {}
        for ip in cluster_ips:
            family = Family.of(ip)
            if family in result:
                self.refuse("spec.clusterIPs", f"more than one {family.value} address")
                continue
            result[family] = FamilyAddresses(
                ip,
                tuple(a for a in external if len(a) == len(ip)),
                tuple(a for a in load_balancer if len(a) == len(ip)),
                tuple(n for n in ranges if len(n.address) == len(ip)),
            )
        return result

    def _parse(self, field: str, texts: list[str]) -> list[Address]:
        addresses = []
        for text in texts:
            address = parse_address(text)
            if address is None:
                self.refuse(field, f"{text!r} is not an IP address")
            elif not any(address) or _is_loopback_or_multicast(address):
                self.refuse(field, f"{text} cannot be a Service's address")
            else:
                addresses.append(address)
        return list(dict.fromkeys(addresses))

    def _source_ranges(self) -> list[Network]:
        ranges = []
        for text in self.service.spec.load_balancer_source_ranges or ():
            network = parse_network(text)
            if network is None:
                self.refuse("spec.loadBalancerSourceRanges", f"{text!r} is not a CIDR")
            else:
                ranges.append(network)
        return ranges


def _is_loopback_or_multicast(address: Address) -> bool:
    if len(address) == 4:
        return address[0] == 127 or address[0] >= 224
    return address[0] == 0xFF or address == bytes(15) + b"\x01"
