"""IPVS schedulers: which there are, which one a Service gets, and what a kernel offers."""

from kproxy.kernel.ipvs.protocol import FALLBACK, WITH_PORT
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.modules import load_module
from kproxy.services.balancing import Algorithm

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh", "fo", "ovf", "twos")
"""Those of the Linux kernel (net/netfilter/ipvs/ip_vs_*.c)."""

FOR_ALGORITHM = {
    Algorithm.ROUND_ROBIN: "rr",
    Algorithm.SOURCE_HASH: "sh",
    Algorithm.DESTINATION_HASH: "dh",
    Algorithm.WEIGHTED: "wrr",
}
"""For Services that ask for an algorithm; the others get the scheduler that is configured."""

_FLAGS = {"sh": FALLBACK, "mh": FALLBACK | WITH_PORT}
"""Without the first, a hash that leads to a draining server refuses its clients until the server has gone."""

_NO_WAY_ROUND = {"dh"}
"""Schedulers that refuse clients whom a hash leads to a draining server, and cannot be told otherwise."""


def flags(scheduler: str) -> int:
    """The flags that a virtual server with this scheduler has."""
    return _FLAGS.get(scheduler, 0)


def lets_drain(scheduler: str) -> bool:
    """Whether real servers that are to go may stay, without new clients, for as long as they have old ones."""
    return scheduler not in _NO_WAY_ROUND


def is_there(ipvs: IpvsSocket, name: str) -> bool:
    """Whether the kernel has a scheduler, whose module is loaded on the way, where it may be.

    Raises:
        OSError: not permitted (EPERM)
    """
    if name not in SCHEDULERS:
        return False
    if not ipvs.has_scheduler(name):
        load_module(f"ip_vs_{name}")
    return ipvs.has_scheduler(name)


def missing(ipvs: IpvsSocket, name: str) -> str:
    """Words for a scheduler that is not there, with those that are.

    Raises:
        OSError: not permitted (EPERM)
    """
    offered = ", ".join(other for other in SCHEDULERS if ipvs.has_scheduler(other)) or "none"
    return f"this kernel has no scheduler {name!r} (module ip_vs_{name}); it offers {offered}"
