"""A change of mode: what other modes have left in the kernel, removed once this mode's rules are in place.

In between both modes' rules are there. They agree on where a connection goes, the kernel translates each connection
once, and connections that exist keep their translation: none is refused or reset.
"""

import logging

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables import cleanup as iptables
from kproxy.backends.iptables import skeleton as iptables_rules
from kproxy.backends.iptables.tool import Tool
from kproxy.backends.iptables.variants import choose, every_tool
from kproxy.backends.ipvs import cleanup as ipvs
from kproxy.backends.ipvs import rules as ipvs_rules
from kproxy.backends.nftables.backend import cleanup as remove_table
from kproxy.config import KubeProxyConfiguration
from kproxy.daemon.modes import excluded_networks, table_name
from kproxy.kernel.interface_addresses import ip_families
from kproxy.services.addresses import Network

log = logging.getLogger(__name__)


async def remove_other_modes(rules: str, configuration: KubeProxyConfiguration) -> list[str]:
    """Remove what modes other than one have programmed; returns what was removed, in words.

    Args:
        rules: the mode whose rules stay; empty: this proxy writes none, so none of a former one are its business
        configuration: tells what IPVS mode must not touch

    Raises:
        BackendError: the kernel refuses it
    """
    excluded = excluded_networks(configuration)
    match rules:
        case "nftables":
            return [*await iptables.cleanup(), *await ipvs.cleanup(excluded)]
        case "iptables":
            return [*_remove_tables(), *await _except_iptables(excluded)]
        case "ipvs":
            return [*_remove_tables(), *await _except_ipvs()]
        case _:
            return []


def _remove_tables() -> list[str]:
    try:
        return [table_name(family) for family in remove_table()]
    except BackendError as error:
        # As this mode's own rules are in place, it is not for want of permission.
        log.debug("No tables to remove: %s", error)
        return []


async def _except_iptables(excluded: tuple[Network, ...]) -> list[str]:
    ours, others = _tools()
    removed = await iptables.remove_rules(others)
    # Reading our own tables costs what the cluster weighs, so there must be something to look for.
    spared = dict.fromkeys(ours, iptables_rules.chain_names()) if ipvs.left_anything() else {}
    return [*removed, *await ipvs.remove(excluded, {**spared, **{tool: {} for tool in others}})]


async def _except_ipvs() -> list[str]:
    ours, others = _tools()
    removed = await iptables.remove_rules(ours, ipvs_rules.chain_names())
    removed += await iptables.remove_rules(others)
    for tool in others:
        removed += await ipvs.remove_rules(tool, {})
    return removed


def _tools() -> tuple[list[Tool], list[Tool]]:
    """The programs of the variant that this node uses, and of the other one."""
    chosen = {tool.variant for tool in choose(ip_families()).values()}
    tools = every_tool()
    return [tool for tool in tools if tool.variant in chosen], [tool for tool in tools if tool.variant not in chosen]
