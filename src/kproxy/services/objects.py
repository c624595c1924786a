"""The Kubernetes objects a service proxy reads, reduced to the fields it uses.

They decode straight from the API's JSON (or a manifest's YAML) with msgspec; unknown fields are skipped
while parsing, so that a hundred thousand endpoints cost only what is kept of them. Field names follow the
API (`core/v1`, `discovery.k8s.io/v1`), in Python's spelling.
"""

from typing import Literal, TypeAlias

import msgspec

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
ZONE_LABEL = "topology.kubernetes.io/zone"
HOSTNAME_LABEL = "kubernetes.io/hostname"
BALANCING_ANNOTATION = "kproxy/balancing"
"""On a Service, how connections are balanced; see `kproxy.services.balancing`."""
WEIGHTS_ANNOTATION = "kproxy/weights"
"""On a Service, weights by topology; on an EndpointSlice, weights by address."""
LAST_CHANGE_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time"

Protocol: TypeAlias = Literal["TCP", "UDP", "SCTP"]


class Base(msgspec.Struct, rename="camel", omit_defaults=True, frozen=True, gc=False):
    """API objects are values: trees without cycles, compared by content."""


class ObjectMeta(Base, frozen=True):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class ServicePort(Base, frozen=True):
    port: int
    name: str = ""
    protocol: Protocol = "TCP"
    node_port: int = 0
    app_protocol: str | None = None


class ClientIPConfig(Base, frozen=True):
    timeout_seconds: int | None = None


class SessionAffinityConfig(Base, frozen=True):
    client_ip: ClientIPConfig | None = msgspec.field(default=None, name="clientIP")


class ServiceSpec(Base, frozen=True):
    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: list[str] | None = msgspec.field(default=None, name="clusterIPs")
    ports: list[ServicePort] | None = None
    external_ips: list[str] | None = msgspec.field(default=None, name="externalIPs")
    session_affinity: str = "None"
    session_affinity_config: SessionAffinityConfig | None = None
    internal_traffic_policy: str | None = None
    external_traffic_policy: str | None = None
    health_check_node_port: int = 0
    load_balancer_source_ranges: list[str] | None = None
    traffic_distribution: str | None = None


class LoadBalancerIngress(Base, frozen=True):
    ip: str = ""
    ip_mode: str | None = None


class LoadBalancerStatus(Base, frozen=True):
    ingress: list[LoadBalancerIngress] | None = None


class ServiceStatus(Base, frozen=True):
    load_balancer: LoadBalancerStatus | None = None


class Service(Base, frozen=True):
    """`v1` Service."""

    metadata: ObjectMeta
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus | None = None


class EndpointConditions(Base, frozen=True):
    """Nil means ready and serving, and not terminating (KEP-1672)."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class HintedZone(Base, frozen=True):
    name: str


class HintedNode(Base, frozen=True):
    name: str


class EndpointHints(Base, frozen=True):
    for_zones: list[HintedZone] | None = None
    for_nodes: list[HintedNode] | None = None


class Endpoint(Base, frozen=True):
    addresses: list[str]
    conditions: EndpointConditions | None = None
    node_name: str | None = None
    zone: str | None = None
    hints: EndpointHints | None = None


class EndpointPort(Base, frozen=True):
    name: str | None = ""
    port: int | None = None
    protocol: Protocol | None = "TCP"


class EndpointSlice(Base, frozen=True):
    """`discovery.k8s.io/v1` EndpointSlice."""

    metadata: ObjectMeta
    address_type: str
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None


class NodeAddress(Base, frozen=True):
    type: str
    address: str


class NodeStatus(Base, frozen=True):
    addresses: list[NodeAddress] | None = None


class Taint(Base, frozen=True):
    key: str
    effect: str = ""
    value: str = ""


class NodeSpec(Base, frozen=True):
    pod_cidr: str = msgspec.field(default="", name="podCIDR")
    pod_cidrs: list[str] | None = msgspec.field(default=None, name="podCIDRs")
    taints: list[Taint] | None = None


class Node(Base, frozen=True):
    """`v1` Node."""

    metadata: ObjectMeta
    spec: NodeSpec = NodeSpec()
    status: NodeStatus | None = None


KubeObject: TypeAlias = Service | EndpointSlice | Node
