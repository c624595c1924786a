"""Who lives where: the lab's hosts, addresses and routes, as data.

    pod-a  pod-b  pod-x          pod-c  pod-d
      └──────┴──────┘              └──────┘
           cni0                      cni0
           node ─────── fabric ────── peer        zones a and b
                          │
                         ext                      a client outside the cluster

The proxy under test runs in `node`. `peer` is another node whose pods are reached by routing. It has no proxy:
as `ext` does, it sends the ranges of Service addresses to `node`, as a router in front of the cluster would.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

FABRIC = "fabric"
SERVER_PORTS = (8080, 9090, 5353)
HOST_PORT = 9100
"""Where `node` itself answers, as a pod in the host's network would."""


@dataclass(frozen=True)
class Dual:
    """One address in each family, with its prefix length."""

    v4: IPv4Interface
    v6: IPv6Interface

    def __iter__(self) -> Iterator[Interface]:
        return iter((self.v4, self.v6))

    def of(self, version: int) -> Address:
        """The bare address in IP version 4 or 6."""
        return self.v4.ip if version == 4 else self.v6.ip


def dual(v4: str, v6: str) -> Dual:
    return Dual(IPv4Interface(v4), IPv6Interface(v6))


@dataclass(frozen=True)
class Pod:
    name: str
    address: Dual
    own_port: int = 0
    """A port that no other pod serves, beside `SERVER_PORTS`; 0: it is a client, and serves none."""

    @property
    def serves(self) -> bool:
        return self.own_port > 0


@dataclass(frozen=True)
class ClusterNode:
    """A node: its address on the fabric, its bridge, which is its pods' gateway, and the pods on it."""

    name: str
    zone: str
    address: Dual
    bridge: Dual
    pods: tuple[Pod, ...]

    @property
    def pod_cidrs(self) -> tuple[Network, Network]:
        return self.bridge.v4.network, self.bridge.v6.network


@dataclass(frozen=True)
class External:
    name: str
    address: Dual


NODE = ClusterNode(
    name="node",
    zone="a",
    address=dual("192.168.77.2/24", "fd00:77::2/64"),
    bridge=dual("10.244.1.1/24", "fd00:10:244:1::1/64"),
    pods=(
        Pod("pod-a", dual("10.244.1.10/24", "fd00:10:244:1::a/64"), 7001),
        Pod("pod-b", dual("10.244.1.11/24", "fd00:10:244:1::b/64"), 7002),
        Pod("pod-x", dual("10.244.1.50/24", "fd00:10:244:1::32/64")),
    ),
)
PEER = ClusterNode(
    name="peer",
    zone="b",
    address=dual("192.168.77.3/24", "fd00:77::3/64"),
    bridge=dual("10.244.2.1/24", "fd00:10:244:2::1/64"),
    pods=(
        Pod("pod-c", dual("10.244.2.10/24", "fd00:10:244:2::a/64"), 7003),
        Pod("pod-d", dual("10.244.2.11/24", "fd00:10:244:2::b/64"), 7004),
    ),
)
EXTERNAL = External("ext", dual("192.168.77.100/24", "fd00:77::64/64"))

NODES = (NODE, PEER)
PODS = {pod.name: pod for node in NODES for pod in node.pods}
NODE_OF = {pod.name: node for node in NODES for pod in node.pods}
_ADDRESSES: dict[str, Dual] = {
    **{pod.name: pod.address for pod in PODS.values()},
    **{node.name: node.address for node in NODES},
    EXTERNAL.name: EXTERNAL.address,
}
VANTAGE_POINTS = tuple(_ADDRESSES)
"""Where clients can be."""

CLUSTER_CIDRS: tuple[Network, ...] = (IPv4Network("10.244.0.0/16"), IPv6Network("fd00:10:244::/48"))
SERVICE_RANGES: tuple[Network, ...] = (
    IPv4Network("10.96.0.0/12"),
    IPv4Network("198.51.100.0/24"),
    IPv4Network("203.0.113.0/24"),
    IPv6Network("fd00:10:96::/108"),
    IPv6Network("2001:db8:100::/48"),
    IPv6Network("2001:db8:113::/48"),
)
"""Cluster, load balancer and external addresses of Services: `ext` and `peer` route them to `node`."""


def address_of(host: str, version: int) -> Address:
    """The address by which a vantage point is known, in IP version 4 or 6.

    Raises:
        KeyError: no such vantage point.
    """
    return _ADDRESSES[host].of(version)
