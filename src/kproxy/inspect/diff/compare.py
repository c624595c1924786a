"""Compares desired with actual in whatever mode this node is, by the way that fits who wrote the rules."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from kproxy.backends.interface import BackendError
from kproxy.backends.nftables.backend import open_nftables
from kproxy.inspect.desired import DesiredState
from kproxy.inspect.diff import frontends, iptables_rules, ipvs_state, nftables_table
from kproxy.inspect.diff.report import Difference, DiffReport
from kproxy.inspect.output import InspectionError
from kproxy.inspect.rulesets.kernel_routes import KernelRoutes
from kproxy.inspect.rulesets.nft.ruleset import TableName
from kproxy.inspect.rulesets.snapshot import Snapshot, read_snapshot
from kproxy.kernel.interface_addresses import ip_families

_STOCK_MAP = "@service-ips"
"""Of kube-proxy's own nftables table; ours has none of that name."""
_OBJECTS, _CHAINS, _FRONTENDS = "object by object", "chain by chain", "each frontend by what the rules do with it"


class _Comparison(Protocol):
    compared: int

    def differences(self) -> Iterator[Difference]: ...


def compare(desired: DesiredState, mode: str) -> DiffReport:
    """Compare everything.

    Args:
        desired: what should be
        mode: the proxy's mode on this node

    Raises:
        InspectionError: the mode leaves nothing to compare, or the kernel cannot be read
    """
    try:
        match mode:
            case "nftables":
                return _nftables(desired)
            case "iptables":
                return _iptables(desired)
            case "ipvs":
                return _ipvs(desired)
    except (OSError, BackendError) as error:
        raise InspectionError(f"the kernel cannot be compared in {mode} mode: {error}") from error
    raise InspectionError(f"{mode} mode has nothing in the kernel that could be compared; give --mode")


def _nftables(desired: DesiredState) -> DiffReport:
    snapshot = read_snapshot(iptables=False, elements=False)
    if is_stock(snapshot):
        return by_frontends(desired, "nftables", read_snapshot())
    socket = open_nftables()
    try:
        comparisons = [nftables_table.Comparison(socket, desired, family, snapshot.nft) for family in ip_families()]
        return _report("nftables", _OBJECTS, comparisons, desired)
    finally:
        socket.close()


def is_stock(snapshot: Snapshot) -> bool:
    """Whether the nftables table is that of kube-proxy itself."""
    tables = snapshot.nft.tables if snapshot.nft else {}
    return any(
        _STOCK_MAP in table.sets
        for family in ("ip", "ip6")
        if (table := tables.get(TableName(family, "kube-proxy"))) is not None
    )


def by_frontends(desired: DesiredState, mode: str, snapshot: Snapshot) -> DiffReport:
    """Compare by evaluating the rules for each frontend.

    Raises:
        OSError: the kernel does not tell its routes
    """
    routes = KernelRoutes()
    try:
        comparisons = [frontends.Comparison(desired, mode, family, snapshot, routes) for family in ip_families()]
        return _report(mode, _FRONTENDS, comparisons, desired, snapshot.unread)
    finally:
        routes.close()


def _iptables(desired: DesiredState) -> DiffReport:
    snapshot = read_snapshot(nft=False)
    comparisons = [
        iptables_rules.Comparison(desired, family, snapshot.iptables.get(family, {})) for family in ip_families()
    ]
    return _report("iptables", _CHAINS, comparisons, desired, snapshot.unread)


def _ipvs(desired: DesiredState) -> DiffReport:
    snapshot = read_snapshot(nft=False)
    comparisons = [
        ipvs_state.Comparison(desired, family, ipvs_state.read_state(family), snapshot.iptables.get(family, {}))
        for family in ip_families()
    ]
    return _report("ipvs", _OBJECTS, comparisons, desired, snapshot.unread)


def _report(
    mode: str, method: str, comparisons: Sequence[_Comparison], desired: DesiredState, unread: tuple[str, ...] = ()
) -> DiffReport:
    found = [difference for comparison in comparisons for difference in comparison.differences()]
    return DiffReport(
        mode=mode,
        method=method,
        compared=sum(comparison.compared for comparison in comparisons),
        differences=tuple(found),
        notes=tuple(f"not read: {what}" for what in unread),
        problems=desired.problems,
    )
