"""What the demo serves, who visits it, and what changes about it."""

from collections.abc import Iterator
from dataclasses import dataclass

from kproxy.lab.kubernetes_objects import Manifest, ServiceDefinition, endpoint_slices, service
from kproxy.lab.probe import Transport
from kproxy.lab.topology import NODE, address_of

CLUSTER_IP, CLUSTER_IP6 = "10.96.0.80", "fd00:10:96::80"
LOAD_BALANCER = "198.51.100.80"
NODE_IP = str(address_of(NODE.name, 4))
NODE_PORT = 30080
DNS_IP = "10.96.0.53"
DNS_NODE_PORT = 30053

EVERYONE = frozenset({"pod-a", "pod-b", "pod-c", "pod-d"})
RESOLVERS = frozenset({"pod-a", "pod-c"})


def _shop(pods: frozenset[str]) -> ServiceDefinition:
    return ServiceDefinition(
        spec={
            "type": "LoadBalancer",
            "clusterIP": CLUSTER_IP,
            "clusterIPs": [CLUSTER_IP, CLUSTER_IP6],
            "ipFamilyPolicy": "RequireDualStack",
            "ipFamilies": ["IPv4", "IPv6"],
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": NODE_PORT}],
        },
        status={"loadBalancer": {"ingress": [{"ip": LOAD_BALANCER}]}},
        slices=[[*sorted(pods)]],
    )


def _dns(pods: frozenset[str]) -> ServiceDefinition:
    port = {"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP", "nodePort": DNS_NODE_PORT}
    return ServiceDefinition(spec={"type": "NodePort", "clusterIP": DNS_IP, "ports": [port]}, slices=[[*sorted(pods)]])


@dataclass(frozen=True)
class Visit:
    """Requests from somewhere to an address, and the pods that should share them."""

    client: str
    kind: str
    transport: Transport
    address: str
    port: int
    pods: frozenset[str]


VISITS = (
    Visit("pod-x", "ClusterIP", "TCP", CLUSTER_IP, 80, EVERYONE),
    Visit("pod-a", "ClusterIP", "TCP", CLUSTER_IP, 80, EVERYONE),
    Visit("node", "ClusterIP", "TCP", CLUSTER_IP, 80, EVERYONE),
    Visit("pod-x", "ClusterIP", "TCP", CLUSTER_IP6, 80, EVERYONE),
    Visit("ext", "LoadBalancer", "TCP", LOAD_BALANCER, 80, EVERYONE),
    Visit("ext", "NodePort", "TCP", NODE_IP, NODE_PORT, EVERYONE),
    Visit("pod-c", "NodePort", "TCP", NODE_IP, NODE_PORT, EVERYONE),
    Visit("pod-x", "ClusterIP", "UDP", DNS_IP, 53, RESOLVERS),
    Visit("ext", "NodePort", "UDP", NODE_IP, DNS_NODE_PORT, RESOLVERS),
)


@dataclass(frozen=True)
class Stream:
    """From where and to what load flows."""

    client: str
    transport: Transport
    address: str
    port: int


STREAMS = (
    Stream("pod-x", "TCP", CLUSTER_IP, 80),
    Stream("ext", "TCP", LOAD_BALANCER, 80),
    Stream("pod-c", "TCP", NODE_IP, NODE_PORT),
    Stream("pod-x", "UDP", DNS_IP, 53),
)


@dataclass(frozen=True)
class Change:
    """A change of endpoints: what is written, the addresses it concerns, and the pods that answer there then."""

    title: str
    manifests: list[Manifest]
    addresses: frozenset[tuple[str, int]]
    pods: frozenset[str]


@dataclass(frozen=True)
class Measured:
    """A change and what it took.

    `seconds` runs from the API write to the last commit that followed from it, `strays` are requests begun after
    that commit that still reached a pod that should not answer, and `missing` pods that should, and did not.
    """

    change: Change
    seconds: float
    commits: int
    requests: int
    failures: int
    strays: int
    missing: frozenset[str]

    @property
    def passed(self) -> bool:
        return not (self.failures or self.strays or self.missing)


def creations() -> Iterator[tuple[str, Manifest, list[Manifest]]]:
    """Each Service with a title and its EndpointSlices."""
    for name, title, definition in (
        ("shop", "shop: ClusterIP, NodePort and LoadBalancer, TCP, IPv4 and IPv6, 4 endpoints", _shop(EVERYONE)),
        ("dns", "dns: ClusterIP and NodePort, UDP, 2 endpoints", _dns(RESOLVERS)),
    ):
        yield title, service(name, definition), endpoint_slices(name, definition)


def changes() -> Iterator[Change]:
    """Endpoints scaled away and back."""
    for title, pods in (
        ("pod-b leaves shop", EVERYONE - {"pod-b"}),
        ("pod-b comes back", EVERYONE),
        ("three of four leave shop", frozenset({"pod-d"})),
        ("all three come back", EVERYONE),
    ):
        addresses = frozenset({(CLUSTER_IP, 80), (LOAD_BALANCER, 80), (NODE_IP, NODE_PORT)})
        yield Change(title, endpoint_slices("shop", _shop(pods)), addresses, pods)
    for title, pods in (("pod-a leaves dns", RESOLVERS - {"pod-a"}), ("pod-a comes back", RESOLVERS)):
        yield Change(title, endpoint_slices("dns", _dns(pods)), frozenset({(DNS_IP, 53)}), pods)
