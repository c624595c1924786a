"""A change of mode: what other modes have left in the kernel, removed once this mode's rules are in place.

In between both modes' rules are there. They agree on where a connection goes, the kernel translates each connection
once, and connections that exist keep their translation: none is refused or reset. Those through IPVS have theirs from
their virtual server, which stays until they have ended.
"""

import logging

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables import cleanup as iptables
from kproxy.backends.iptables import skeleton as iptables_rules
from kproxy.backends.iptables.tool import Tool
from kproxy.backends.iptables.variants import choose, every_tool
from kproxy.backends.ipvs import cleanup as ipvs
from kproxy.backends.ipvs import rules as ipvs_rules
from kproxy.backends.ipvs.cleanup import Removal
from kproxy.backends.nftables.backend import cleanup as remove_table
from kproxy.config import KubeProxyConfiguration
from kproxy.daemon.modes import excluded_networks, table_name
from kproxy.kernel.interface_addresses import ip_families
from kproxy.services.addresses import Network

log = logging.getLogger(__name__)


async def remove_other_modes(rules: str, configuration: KubeProxyConfiguration, *, spare_in_use: bool) -> Removal:
    """Remove what modes other than one have programmed.

    Args:
        rules: the mode whose rules stay; empty: this proxy writes none, so none of a former one are its business
        configuration: tells what IPVS mode must not touch
        spare_in_use: whether virtual servers of IPVS mode stay while there are connections through them

    Raises:
        BackendError: the kernel refuses it
    """
    excluded = excluded_networks(configuration)
    match rules:
        case "nftables":
            removed = await iptables.cleanup()
            after = await ipvs.remove(excluded, {tool: {} for tool in every_tool()}, spare_in_use=spare_in_use)
        case "iptables":
            removed = _remove_tables()
            after = await _except_iptables(excluded, spare_in_use=spare_in_use)
        case "ipvs":
            removed = [*_remove_tables(), *await _except_ipvs()]
            after = Removal([])
        case _:
            return Removal([])
    return after._replace(removed=[*removed, *after.removed])


def _remove_tables() -> list[str]:
    try:
        return [table_name(family) for family in remove_table()]
    except BackendError as error:
        # As this mode's own rules are in place, it is not for want of permission.
        log.debug("No tables to remove: %s", error)
        return []


async def _except_iptables(excluded: tuple[Network, ...], *, spare_in_use: bool) -> Removal:
    ours, others = _tools()
    removed = await iptables.remove_rules(others)
    # Reading our own tables costs what the cluster weighs, so there must be something to look for.
    spared = dict.fromkeys(ours, iptables_rules.chain_names()) if ipvs.left_anything() else {}
    after = await ipvs.remove(excluded, {**spared, **{tool: {} for tool in others}}, spare_in_use=spare_in_use)
    return after._replace(removed=[*removed, *after.removed])


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
