"""Taking everything of iptables mode out of the kernel, whichever proxy and variant put it there."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables import accounting
from kproxy.backends.iptables.compile import FILTER, MANGLE, NAT
from kproxy.backends.iptables.names import (
    CANARY,
    EXTERNAL_SERVICES,
    FIREWALL,
    FORWARD,
    KUBELET_CANARY,
    MARK_MASQ,
    NODEPORTS,
    PER_SERVICE,
    POSTROUTING,
    PROXY_FIREWALL,
    SERVICES,
)
from kproxy.backends.iptables.restore_input import RestoreInput, TableInput, deletions
from kproxy.backends.iptables.saved import Saved, SavedTable, jump_target
from kproxy.backends.iptables.tool import Tool
from kproxy.backends.iptables.variants import every_tool
from kproxy.kernel.processes import ProcessError

_OURS = {
    MANGLE: {CANARY},
    FILTER: {SERVICES, NODEPORTS, EXTERNAL_SERVICES, PROXY_FIREWALL, FORWARD, FIREWALL, CANARY},
    NAT: {SERVICES, NODEPORTS, POSTROUTING, MARK_MASQ, CANARY},
}
_BUILT_IN = {b"PREROUTING", b"INPUT", b"FORWARD", b"OUTPUT", b"POSTROUTING"}
_PER_SERVICE = tuple(prefix.encode() for prefix in PER_SERVICE)


async def cleanup() -> list[str]:
    """Delete our chains, the jumps into them, and our counters; returns what was removed, in words.

    Raises:
        BackendError: iptables is installed but refuses
    """
    removed = await remove_rules(every_tool())
    try:
        accounting.delete()
    except OSError as error:
        raise BackendError(str(error)) from error
    return removed


async def remove_rules(tools: Iterable[Tool], spare: Mapping[str, Collection[str]] = MappingProxyType({})) -> list[str]:
    """Delete our chains and the jumps into them; returns what was removed, in words.

    Chains into which somebody else's chain jumps stay, empty; `KUBE-FIREWALL` stays on a node with a kubelet,
    which has the same rule there.

    Args:
        tools: to delete with, each in its own tables
        spare: chains, by table, that another mode has under the same name

    Raises:
        BackendError: iptables refuses
    """
    removed = []
    for tool in tools:
        try:
            made = cleanup_input(await tool.save(), spare)
            if made:
                await tool.restore(made.to_bytes())
                removed.append(f"{len(made)} rules and chains of {tool}")
        except ProcessError as error:
            raise BackendError(str(error)) from error
    return removed


def cleanup_input(saved: Saved, spare: Mapping[str, Collection[str]] = MappingProxyType({})) -> RestoreInput:
    """What iptables-restore must do to remove our rules from what is there."""
    made = RestoreInput()
    kubelet = KUBELET_CANARY.encode() in saved.table(MANGLE)
    for table, names in _OURS.items():
        chains = saved.table(table)
        spared = {*spare.get(table, ()), *([FIREWALL] if kubelet else [])}
        own = {name.encode() for name in names - spared}
        _remove(
            chains, {chain for chain in chains if chain in own or chain.startswith(_PER_SERVICE)}, made.tables[table]
        )
    return made


def _remove(chains: SavedTable, ours: set[bytes], table: TableInput) -> None:
    jumped_to: set[bytes] = set()
    for chain, rules in chains.items():
        if chain in ours:
            continue
        into_ours = [rule for rule in rules if jump_target(rule) in ours]
        if chain in _BUILT_IN:
            table.edits += deletions(into_ours)
        else:
            jumped_to.update(map(jump_target, into_ours))
    for chain in sorted(ours):
        if chain not in jumped_to:
            table.delete_chain(chain)
        elif chains[chain] and chain != MARK_MASQ.encode():
            table.declare(chain)
