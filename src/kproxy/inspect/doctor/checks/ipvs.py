"""What IPVS mode needs of the node."""

import os
from collections.abc import Iterator
from pathlib import Path

from kproxy.config.defaults import DEFAULT_IPVS_SCHEDULER
from kproxy.inspect.doctor.finding import Finding, Severity, lasting_modules, sysctl
from kproxy.inspect.doctor.supervision import configuration_advice
from kproxy.inspect.doctor.view import NodeView
from kproxy.kernel.ipvs.socket import IpvsSocket

_METALLB_LABELS = (("app.kubernetes.io/name", "metallb"), ("app", "metallb"))
_ARP = {"net/ipv4/conf/all/arp_ignore": "1", "net/ipv4/conf/all/arp_announce": "2"}
_SYSTEM_MODULES = Path("/lib/modules")


def modules(view: NodeView) -> Iterator[Finding]:
    """IPVS mode is configured, and the kernel has no IPVS, or not the scheduler."""
    if view.mode != "ipvs" and view.configuration.mode != "ipvs":
        return
    scheduler = view.configuration.ipvs.scheduler or DEFAULT_IPVS_SCHEDULER
    missing = missing_modules(scheduler)
    if not missing:
        return
    release = os.uname().release
    built = (_SYSTEM_MODULES / release).is_dir()
    where = f"/lib/modules/{release} {'exists' if built else 'does not exist: on the node itself, or with its package'}"
    yield Finding(
        check="ipvs-modules",
        severity=Severity.CRITICAL,
        subject=f"node {view.node}",
        evidence=(f"the kernel does not have {', '.join(missing)}", where),
        cause="IPVS mode is chosen, but the kernel modules it needs are not loaded: the proxy cannot start.",
        fixes=lasting_modules(*missing),
    )


def missing_modules(scheduler: str) -> list[str]:
    """The modules of IPVS and of a scheduler that this kernel has not got, nor loads by itself when asked."""
    try:
        socket = IpvsSocket()
    except OSError:
        return ["ip_vs", f"ip_vs_{scheduler}"]
    try:
        return [] if socket.has_scheduler(scheduler) else [f"ip_vs_{scheduler}"]
    finally:
        socket.close()


def strict_arp(view: NodeView) -> Iterator[Finding]:
    """Every node answers ARP for load balancer addresses that MetalLB gives to one."""
    speakers = [
        pod
        for pod in (view.cluster.pods or () if view.cluster else ())
        if any((pod.metadata.labels or {}).get(key) == value for key, value in _METALLB_LABELS)
    ]
    wrong = {name: value for name, value in _ARP.items() if (view.sysctl(name) or "0") != value}
    if view.mode != "ipvs" or not speakers or not wrong:
        return
    pod = speakers[0].metadata
    yield Finding(
        check="strict-arp",
        severity=Severity.CRITICAL,
        subject=f"node {view.node}",
        evidence=(
            f"MetalLB runs: Pod {pod.namespace}/{pod.name}",
            f"ipvs.strictARP is {str(view.configuration.ipvs.strict_arp).lower()}",
            *(f"/proc/sys/{name} is {view.sysctl(name)}, not {value}" for name, value in wrong.items()),
        ),
        cause="kube-ipvs0 holds every load balancer address, so all nodes answer for it, not only MetalLB's choice.",
        fixes=tuple(sysctl(name, value) for name, value in wrong.items()),
        advice=configuration_advice(view, "ipvs.strictARP to true") + " It sets these at every start.",
    )
