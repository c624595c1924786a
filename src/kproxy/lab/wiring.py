"""Turns the topology into links, addresses, routes and sysctls, over rtnetlink."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from pyroute2 import IPRoute  # type: ignore[attr-defined]

from kproxy.lab.namespaces import Namespace
from kproxy.lab.topology import (
    EXTERNAL,
    FABRIC,
    NODE,
    NODES,
    PEER,
    SERVICE_RANGES,
    ClusterNode,
    Dual,
    Interface,
    Network,
)

IFA_F_NODAD = 0x02
UPLINK = "eth0"
BRIDGE = "cni0"
LINK_PATIENCE = 10.0

_HOST_SYSCTLS = {
    "ipv6/conf/all/disable_ipv6": 0,
    "ipv6/conf/default/disable_ipv6": 0,
    # Link-local addresses are usable at once, and no first packet waits for them.
    "ipv6/conf/all/accept_dad": 0,
    "ipv6/conf/default/accept_dad": 0,
    # New namespaces inherit the host's IPv4 settings, so what matters is written either way.
    "ipv4/ip_forward": 0,
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    # Rejections beyond the rate limits would be silent, which a probe reports as a timeout.
    "ipv4/icmp_ratelimit": 0,
    "ipv6/icmp/ratelimit": 0,
}
_HOST_SYSCTLS_IF_NAMESPACED = {"ipv4/icmp_msgs_per_sec": 100_000, "ipv4/icmp_msgs_burst": 10_000}
_ROUTER_SYSCTLS = {"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1, "ipv6/conf/default/forwarding": 1}


class _Rtnetlink(Protocol):
    """What is used of pyroute2's IPRoute, which has no types."""

    def link(self, command: str, **attributes: object) -> Any: ...
    def link_lookup(self, *, ifname: str) -> Sequence[int]: ...
    def brport(self, command: str, **attributes: object) -> Any: ...
    def addr(self, command: str, **attributes: object) -> Any: ...
    def route(self, command: str, **attributes: object) -> Any: ...


def _rtnetlink() -> AbstractContextManager[_Rtnetlink]:
    opened: AbstractContextManager[_Rtnetlink] = IPRoute()  # type: ignore[no-untyped-call]
    return opened


def wire(namespaces: dict[str, Namespace]) -> None:
    """Connect and configure the namespaces; there is one for every vantage point and one for the fabric.

    Raises:
        OSError: a sysctl cannot be written.
        pyroute2.NetlinkError: the kernel refuses a link, an address or a route.
        TimeoutError: the links do not come up.
    """
    for namespace in namespaces.values():
        _set_host_sysctls(namespace)
    fabric = namespaces[FABRIC]
    _make_bridge(fabric, "br0", None)
    for host in (*NODES, EXTERNAL):
        _plug(namespaces[host.name], host.address, fabric, "br0", hairpin=False)
    for node in NODES:
        namespace = namespaces[node.name]
        for key, value in _ROUTER_SYSCTLS.items():
            namespace.set_sysctl(key, value)
        _make_bridge(namespace, BRIDGE, node.bridge)
        for pod in node.pods:
            _plug(namespaces[pod.name], pod.address, namespace, BRIDGE, hairpin=True)
            _route(namespaces[pod.name], [(None, address) for address in node.bridge])
    _route(namespaces[NODE.name], [*_pods_of(PEER), *((None, address) for address in EXTERNAL.address)])
    services: list[tuple[Network | None, Interface]] = [
        (network, address)
        for network in SERVICE_RANGES
        for address in NODE.address
        if address.version == network.version
    ]
    _route(namespaces[PEER.name], [*_pods_of(NODE), *services])
    _route(namespaces[EXTERNAL.name], [*_pods_of(NODE), *_pods_of(PEER), *services])
    for namespace in namespaces.values():
        namespace.run(_wait_for_links)


def set_address(namespace: Namespace, address: Interface, link: str, *, present: bool) -> None:
    """Give an interface one more address, or take it away again.

    Raises:
        ValueError: no such interface.
        pyroute2.NetlinkError: the kernel refuses.
    """

    def change() -> None:
        with _rtnetlink() as rtnl:
            (index,) = rtnl.link_lookup(ifname=link)
            _address(rtnl, "add" if present else "del", index, address)

    namespace.run(change)


def _set_host_sysctls(namespace: Namespace) -> None:
    for key, value in _HOST_SYSCTLS.items():
        namespace.set_sysctl(key, value)
    for key, value in _HOST_SYSCTLS_IF_NAMESPACED.items():
        namespace.set_sysctl(key, value, optional=True)

    def bring_up_loopback() -> None:
        with _rtnetlink() as rtnl:
            rtnl.link("set", index=1, state="up")

    namespace.run(bring_up_loopback)


def _make_bridge(namespace: Namespace, name: str, addresses: Dual | None) -> None:
    def make() -> None:
        with _rtnetlink() as rtnl:
            rtnl.link("add", ifname=name, kind="bridge")
            _raise_link(rtnl, name, addresses)

    namespace.run(make)


def _plug(host: Namespace, addresses: Dual, switch: Namespace, bridge: str, *, hairpin: bool) -> None:
    """Join a host to a bridge in another namespace.

    With `hairpin`, the bridge hands a frame back through the port it came from, which a pod that reaches
    itself through a Service depends on.
    """
    port = f"v-{host.name}"

    def make_cable() -> None:
        with _rtnetlink() as rtnl:
            rtnl.link("add", ifname=UPLINK, kind="veth", peer={"ifname": port, "net_ns_fd": switch.fd})

    def plug_in() -> None:
        with _rtnetlink() as rtnl:
            (index,) = rtnl.link_lookup(ifname=port)
            (master,) = rtnl.link_lookup(ifname=bridge)
            rtnl.link("set", index=index, master=master, state="up")
            if hairpin:
                rtnl.brport("set", index=index, mode=1)

    def raise_uplink() -> None:
        with _rtnetlink() as rtnl:
            _raise_link(rtnl, UPLINK, addresses)

    host.run(make_cable)
    switch.run(plug_in)
    host.run(raise_uplink)


def _raise_link(rtnl: _Rtnetlink, name: str, addresses: Dual | None) -> None:
    (index,) = rtnl.link_lookup(ifname=name)
    for address in addresses or ():
        _address(rtnl, "add", index, address)
    rtnl.link("set", index=index, state="up")


def _address(rtnl: _Rtnetlink, command: str, index: int, address: Interface) -> None:
    flags = IFA_F_NODAD if address.version == 6 else 0
    rtnl.addr(command, index=index, address=str(address.ip), prefixlen=address.network.prefixlen, flags=flags)


def _wait_for_links() -> None:
    """A link that is set up drops what it is given until the kernel, in its own time, says that it is up (RFC 2863)."""
    deadline = time.monotonic() + LINK_PATIENCE
    with _rtnetlink() as rtnl:
        while not all(link.get_attr("IFLA_OPERSTATE") in ("UP", "UNKNOWN") for link in rtnl.link("dump")):
            if time.monotonic() > deadline:
                raise TimeoutError(f"links did not come up within {LINK_PATIENCE:g} s")
            time.sleep(0.005)


def _route(namespace: Namespace, routes: list[tuple[Network | None, Interface]]) -> None:
    """Add routes to networks (none: the default) by way of gateways."""

    def add() -> None:
        with _rtnetlink() as rtnl:
            for network, gateway in routes:
                default = "0.0.0.0/0" if gateway.version == 4 else "::/0"
                rtnl.route("add", dst=str(network or default), gateway=str(gateway.ip))

    namespace.run(add)


def _pods_of(node: ClusterNode) -> list[tuple[Network | None, Interface]]:
    return list(zip(node.pod_cidrs, node.address, strict=True))
