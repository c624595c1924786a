"""What the configuration says about IPVS mode."""

import msgspec

from kproxy.kernel.ipvs.socket import Timeouts
from kproxy.services.addresses import Network


class IpvsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How virtual servers are made, and what belongs to whom."""

    scheduler: str = "rr"
    """Of Services that do not ask for an algorithm."""
    excluded: tuple[Network, ...] = ()
    """Virtual servers on these addresses that this process has not made are somebody else's (`excludeCIDRs`)."""
    strict_arp: bool = False
    timeouts: Timeouts = Timeouts()
    masquerade_all: bool = False
    masquerade_mark: int = 1 << 14
    audit_seconds: float = 30.0
    """How often the kernel is compared with what it should hold, as it tells nobody of changes (`syncPeriod`)."""
