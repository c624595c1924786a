"""Removing the rules of the modes that do not run any more."""

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables import cleanup as iptables
from kproxy.backends.ipvs import cleanup as ipvs
from kproxy.backends.nftables import backend as nftables
from kproxy.backends.nftables.ruleset import TABLE
from kproxy.backends.nftables.statements import IP
from kproxy.services.addresses import Network
from kproxy.switch.plan import SwitchError

_SHARED = ("iptables", "ipvs")
"""Modes that have chains of the same names, such as KUBE-SERVICES."""


async def remove_leftovers(active: str, stale: set[str], excluded: tuple[Network, ...] = ()) -> list[str]:
    """Remove modes' objects from the kernel; returns what was removed, in words.

    Args:
        active: the mode that runs, whose rules stay
        stale: the modes whose rules go
        excluded: networks whose virtual servers are not the proxy's (`ipvs.excludeCIDRs`)

    Raises:
        SwitchError: the kernel refuses it, or the modes' rules cannot be told apart
    """
    if active in _SHARED and stale & set(_SHARED):
        old = ", ".join(sorted(stale & set(_SHARED)))
        raise SwitchError(f"{active} and {old} mode share chains, which the proxy sorts out when it starts: restart it")
    removed: list[str] = []
    try:
        if "nftables" in stale and active != "nftables":
            removed += [f"table {IP[family]} {TABLE}" for family in nftables.cleanup()]
        if "iptables" in stale:
            removed += await iptables.cleanup()
        if "ipvs" in stale:
            removed += await ipvs.cleanup(excluded)
    except (BackendError, OSError) as error:
        raise SwitchError(f"the old mode's rules cannot be removed: {error}") from error
    return removed
