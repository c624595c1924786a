"""What the configuration says about IPVS mode."""

import msgspec

from kproxy.kernel.ipvs.protocol import FALLBACK, WITH_PORT
from kproxy.kernel.ipvs.socket import Timeouts
from kproxy.services.addresses import Network

SCHEDULERS = ("rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "dh", "sed", "nq", "mh", "fo", "ovf", "twos")
"""Those of the Linux kernel (net/netfilter/ipvs/ip_vs_*.c)."""

_FLAGS = {"sh": FALLBACK, "mh": FALLBACK | WITH_PORT}
"""Without the first, a hash that leads to a draining server refuses its clients until the server has gone."""

_NO_WAY_ROUND = {"dh"}
"""Schedulers that refuse clients whom a hash leads to a draining server, and cannot be told otherwise."""


class IpvsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How virtual servers are made, and what belongs to whom."""

    scheduler: str = "rr"
    excluded: tuple[Network, ...] = ()
    """Virtual servers on these addresses that this process has not made are somebody else's (`excludeCIDRs`)."""
    strict_arp: bool = False
    timeouts: Timeouts = Timeouts()
    masquerade_all: bool = False
    masquerade_mark: int = 1 << 14
    audit_seconds: float = 30.0
    """How often the kernel is compared with what it should hold, as it tells nobody of changes (`syncPeriod`)."""

    @property
    def server_flags(self) -> int:
        return _FLAGS.get(self.scheduler, 0)

    @property
    def drains(self) -> bool:
        """Whether real servers that are to go may stay, without new clients, for as long as they have old ones."""
        return self.scheduler not in _NO_WAY_ROUND
