"""Kernel settings that packets for Services depend on."""

from collections.abc import Iterator
from pathlib import Path

from kproxy.inspect.doctor.finding import Finding, Severity, lasting_modules, lasting_sysctl
from kproxy.inspect.doctor.view import NodeView
from kproxy.services.addresses import Family

_FORWARD = {Family.IPV4: "net/ipv4/ip_forward", Family.IPV6: "net/ipv6/conf/all/forwarding"}
_BRIDGE = {Family.IPV4: "net/bridge/bridge-nf-call-iptables", Family.IPV6: "net/bridge/bridge-nf-call-ip6tables"}
_NETSTAT = Path("/proc/thread-self/net/netstat")
_STRICT = 1


def ip_forward(view: NodeView) -> Iterator[Finding]:
    """The node does not pass packets on."""
    for family, name in _FORWARD.items():
        if family not in _families(view) or view.sysctl(name) != "0":
            continue
        yield Finding(
            check="ip-forward",
            severity=Severity.CRITICAL,
            subject=f"node {view.node}, {family.value}",
            evidence=(f"/proc/sys/{name} is 0",),
            cause="The kernel drops what is not for the node itself: translated packets for pods never leave it.",
            fixes=lasting_sysctl(name, "1"),
        )


def _families(view: NodeView) -> set[Family]:
    """The families in which Services are served, as far as it is known; else IPv4."""
    served = {port.family for port in view.ports()}
    return served or {Family.IPV4}


def reverse_path(view: NodeView) -> Iterator[Finding]:
    """Packets are dropped because the way back is another one."""
    everywhere = int(view.sysctl("net/ipv4/conf/all/rp_filter") or 0)
    strict = [
        interface
        for interface in view.interfaces
        if not interface.loopback and max(everywhere, _filter_of(view, interface.name)) == _STRICT
    ]
    dropped = reverse_path_drops()
    if not strict or not dropped:
        return
    names = ", ".join(interface.name for interface in strict[:8])
    yield Finding(
        check="rp-filter",
        severity=Severity.WARNING,
        subject=f"interfaces {names}",
        evidence=(
            "rp_filter is 1 (strict) on these interfaces",
            f"TcpExt IPReversePathFilter in {_NETSTAT} is {dropped}: packets that were dropped for it",
        ),
        cause=(
            "Packets came in on another interface than the one that answers would leave by, as with several uplinks, "
            "overlays, or load balancers that answer directly."
        ),
        # The larger of this value and an interface's own counts: 2, loose, overrides them all.
        fixes=lasting_sysctl("net/ipv4/conf/all/rp_filter", "2"),
    )


def _filter_of(view: NodeView, interface: str) -> int:
    value = view.sysctl(f"net/ipv4/conf/{interface}/rp_filter")
    return int(value) if value and value.isdecimal() else 0


def reverse_path_drops(netstat: Path = _NETSTAT) -> int:
    """How many packets the reverse path filter has dropped in this network namespace."""
    try:
        lines = netstat.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        found = dict(zip(names.split(), values.split(), strict=False))
        if "IPReversePathFilter" in found:
            return int(found["IPReversePathFilter"])
    return 0


def bridge_netfilter(view: NodeView) -> Iterator[Finding]:
    """Pods beside each other on a bridge go round the rules on the way back."""
    masters = {interface.master for interface in view.interfaces if interface.master}
    bridges = [i for i in view.interfaces if i.kind == "bridge" and i.number in masters and i.networks]
    if not bridges or view.mode == "userspace":
        return
    names = ", ".join(bridge.name for bridge in bridges)
    for family, name in _BRIDGE.items():
        if family not in _families(view):
            continue
        value = view.sysctl(name)
        if value == "1":
            continue
        missing = value is None
        fixes = lasting_modules("br_netfilter") if missing else ()
        yield Finding(
            check="bridge-nf-call",
            severity=Severity.WARNING,
            subject=f"bridge {names}, {family.value}",
            evidence=(f"/proc/sys/{name} is {'missing' if missing else value}", f"{names} has ports, and an address"),
            cause=(
                "A pod that reaches a pod on the same bridge through a Service gets its answer over the bridge, "
                "untranslated, and drops it."
            ),
            fixes=(*fixes, *lasting_sysctl(name, "1")),
        )
