"""Userspace mode: rules of another mode lead to the proxy's process, which chooses the endpoint."""

import ipaddress

from kproxy.backends.nftables.ruleset import TABLE
from kproxy.inspect.rulesets.routes import Routes
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.inspect.trace.comparison import fates_differ
from kproxy.inspect.trace.report import View

_SERVICES = "KUBE-SERVICES"


def redirecting_mode(snapshot: Snapshot) -> str:
    """The mode whose rules redirect here: nftables, unless only those of iptables mode are there."""
    if snapshot.nft and any(name.name == TABLE for name in snapshot.nft.tables):
        return "nftables"
    programs = (tables for by_program in snapshot.iptables.values() for tables in by_program.values())
    return "iptables" if any(_SERVICES in tables.get("nat", {}) for tables in programs) else "nftables"


def disagreements(desired: View, actual: View, routes: Routes) -> list[str]:
    """What differs as far as rules go: who is let through to the proxy, and that it is this node's.

    Which endpoint it chooses is not in the kernel.
    """
    if found := fates_differ(desired, actual):
        return [found]
    elsewhere = sorted(
        outcome.endpoint
        for outcome in actual.outcomes
        if outcome.fate == "redirected" and not routes.is_local(_address(outcome.endpoint))
    )
    return [f"{actual.name} leads to {', '.join(elsewhere)}, past this node's proxy"] if elsewhere else []


def _address(endpoint: str) -> bytes:
    return ipaddress.ip_address(endpoint.rpartition(":")[0].strip("[]")).packed
