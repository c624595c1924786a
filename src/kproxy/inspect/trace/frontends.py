"""Which Service a destination belongs to, and by which of its fields."""

import enum
from typing import NamedTuple

from kproxy.inspect.desired import DesiredState
from kproxy.inspect.trace.report import Because
from kproxy.services.addresses import Address, Family, format_address, parse_address
from kproxy.services.model import ServicePort
from kproxy.services.objects import PROXY_NAME_LABEL, Protocol, Service

_LOCALHOST = bytes((127, 0, 0, 1))


class FrontendKind(enum.Enum):
    """What kind of address a Service is reached at."""

    CLUSTER_IP = "cluster IP"
    EXTERNAL_IP = "external IP"
    LOAD_BALANCER = "load balancer IP"
    NODE_PORT = "node port"


_FIELDS = {
    FrontendKind.CLUSTER_IP: "spec.clusterIPs",
    FrontendKind.EXTERNAL_IP: "spec.externalIPs",
    FrontendKind.LOAD_BALANCER: "status.loadBalancer.ingress[].ip",
    FrontendKind.NODE_PORT: "spec.ports[].nodePort",
}


class Match(NamedTuple):
    """A Service port that is reached at a destination."""

    port: ServicePort
    kind: FrontendKind

    def because(self, address: Address) -> Because:
        value = str(self.port.node_port) if self.kind is FrontendKind.NODE_PORT else format_address(address)
        return Because(f"Service {self.port.service}", _FIELDS[self.kind], value)


class Frontends:
    """Every address and port of every Service, for looking up."""

    def __init__(self, desired: DesiredState, mode: str) -> None:
        """List them.

        Args:
            desired: the Services
            mode: the proxy mode, as NodePorts answer on 127.0.0.1 in some modes only
        """
        self._node_addresses = desired.node_port_addresses
        configuration = desired.settings.configuration
        # Userspace mode has no rule for 127.0.0.1 where addresses for NodePorts are given.
        loopback = mode == "iptables" or (mode == "userspace" and not configuration.node_port_addresses)
        if loopback and configuration.iptables.localhost_node_ports:
            self._node_addresses = self._node_addresses | {_LOCALHOST}
        self._at: dict[tuple[Address, Protocol, int], Match] = {}
        self._node_ports: dict[tuple[Family, Protocol, int], ServicePort] = {}
        self._cluster_ips: dict[Address, ServicePort] = {}
        self._external: dict[Address, ServicePort] = {}
        for name in desired.tracker.names():
            for family in Family:
                for port in desired.tracker.ports(name, family):
                    self._add(port)

    def _add(self, port: ServicePort) -> None:
        self._cluster_ips.setdefault(port.cluster_ip, port)
        self._put(port, port.cluster_ip, FrontendKind.CLUSTER_IP)
        for kind, addresses in (
            (FrontendKind.LOAD_BALANCER, port.load_balancer_ips),
            (FrontendKind.EXTERNAL_IP, port.external_ips),
        ):
            for address in addresses:
                self._external.setdefault(address, port)
                self._put(port, address, kind)
        if port.node_port:
            self._node_ports.setdefault((port.family, port.protocol, port.node_port), port)

    def _put(self, port: ServicePort, address: Address, kind: FrontendKind) -> None:
        self._at.setdefault((address, port.protocol, port.port), Match(port, kind))

    def find(self, address: Address, port: int, protocol: Protocol) -> Match | None:
        """The Service port that answers at an address and port; None when there is none."""
        found = self._at.get((address, protocol, port))
        if found is None and address in self._node_addresses:
            behind = self.with_node_port(port, protocol, Family.of(address))
            found = Match(behind, FrontendKind.NODE_PORT) if behind else None
        return found

    def with_cluster_ip(self, address: Address) -> ServicePort | None:
        """A port of the Service that has this cluster IP."""
        return self._cluster_ips.get(address)

    def with_external_address(self, address: Address) -> ServicePort | None:
        """A port of a Service that has this external or load balancer IP."""
        return self._external.get(address)

    def with_node_port(self, port: int, protocol: Protocol, family: Family) -> ServicePort | None:
        """The Service port with this node port."""
        return self._node_ports.get((family, protocol, port))


def not_served(desired: DesiredState, address: Address) -> Because | None:
    """A Service that names an address and that this proxy does not serve, with the field that says so."""
    for name, service in desired.services.items():
        subject = f"Service {name}"
        if (proxy := (service.metadata.labels or {}).get(PROXY_NAME_LABEL)) is not None:
            if address in _named(service):
                return Because(subject, f"metadata.labels[{PROXY_NAME_LABEL}]", proxy)
        elif service.spec.type == "ExternalName" and address in _named(service):
            return Because(subject, "spec.type", "ExternalName")
        ingress = service.status.load_balancer.ingress or [] if service.status and service.status.load_balancer else []
        for entry in ingress:
            if parse_address(entry.ip) == address and entry.ip_mode == "Proxy":
                return Because(subject, "status.loadBalancer.ingress[].ipMode", "Proxy")
    return None


def _named(service: Service) -> set[Address | None]:
    spec = service.spec
    texts = [spec.cluster_ip, *(spec.cluster_ips or ()), *(spec.external_ips or ())]
    ingress = service.status.load_balancer.ingress or [] if service.status and service.status.load_balancer else []
    return {parse_address(text) for text in [*texts, *(entry.ip for entry in ingress)] if text}
