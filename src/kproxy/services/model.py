"""What each reachable address does, for whom: the mode-free model that every backend compiles.

One `ServicePort` is one port of one Service in one IP family. It says which addresses reach it, which
endpoints answer there under which traffic policy, and what happens when none can.
"""

import enum
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from kproxy.services.addresses import Address, Family, Network
from kproxy.services.balancing import Algorithm
from kproxy.services.objects import Protocol


class ServiceName(NamedTuple):
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Policy(enum.Enum):
    """`internalTrafficPolicy` and `externalTrafficPolicy`."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


class Verdict(enum.Enum):
    """What becomes of traffic that reaches an address."""

    BALANCE = "balance"
    REJECT = "reject"
    """No endpoint anywhere: an ICMP error, so that clients fail fast."""
    DROP = "drop"
    """Endpoints elsewhere, but the Local policy forbids them: silence, as a load balancer would retry another node."""


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """A pod's address and port that takes traffic."""

    address: Address
    port: int
    local: bool
    """On this node."""
    weight: int = 1
    """Its share of connections beside the others', where the Service is balanced by weights."""


class ServicePort(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One port of a Service in one IP family."""

    service: ServiceName
    port_name: str
    family: Family
    protocol: Protocol
    port: int
    cluster_ip: Address
    external_ips: tuple[Address, ...] = ()
    load_balancer_ips: tuple[Address, ...] = ()
    """Ingress addresses in `VIP` mode; those in `Proxy` mode reach the node as NodePort traffic (KEP-1860)."""
    node_port: int = 0
    health_check_node_port: int = 0
    """Where load balancers ask the node for local endpoints, the same for all of a Service's ports; 0: nowhere."""
    internal_policy: Policy = Policy.CLUSTER
    external_policy: Policy = Policy.CLUSTER
    affinity_seconds: int = 0
    """How long a client stays with its endpoint; 0: no session affinity."""
    algorithm: Algorithm = Algorithm.RANDOM
    source_ranges: tuple[Network, ...] = ()
    """Sources that the load balancer IPs accept; empty: all."""
    cluster_endpoints: tuple[Endpoint, ...] = ()
    """For the Cluster policy, topology applied; also for pods and the node itself reaching an external address."""
    local_endpoints: tuple[Endpoint, ...] = ()
    """For the Local policy; empty when neither policy is Local."""
    has_endpoints: bool = False
    """Whether any endpoint could answer from anywhere in the cluster: decides between rejecting and dropping."""

    def __str__(self) -> str:
        return f"{self.service}:{self.port_name}" if self.port_name else str(self.service)

    @property
    def internal_endpoints(self) -> tuple[Endpoint, ...]:
        """Who answers on the cluster IP."""
        return self.local_endpoints if self.internal_policy is Policy.LOCAL else self.cluster_endpoints

    @property
    def external_endpoints(self) -> tuple[Endpoint, ...]:
        """Who answers clients outside the cluster on external IPs, load balancer IPs and the node port."""
        return self.local_endpoints if self.external_policy is Policy.LOCAL else self.cluster_endpoints

    @property
    def internal_verdict(self) -> Verdict:
        return self._verdict(self.internal_endpoints)

    @property
    def external_verdict(self) -> Verdict:
        return self._verdict(self.external_endpoints)

    def _verdict(self, endpoints: tuple[Endpoint, ...]) -> Verdict:
        if endpoints:
            return Verdict.BALANCE
        return Verdict.DROP if self.has_endpoints else Verdict.REJECT

    @property
    def externally_accessible(self) -> bool:
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)

    def external_addresses(self) -> Iterator[Address]:
        """External IPs and load balancer IPs, each once."""
        yield from dict.fromkeys((*self.external_ips, *self.load_balancer_ips))
