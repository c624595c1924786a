"""Taking everything of IPVS mode out of the kernel, whichever proxy put it there."""

from collections.abc import Collection, Mapping

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables.tool import Tool
from kproxy.backends.iptables.variants import every_tool
from kproxy.backends.ipvs import readback, repair, rule_tables
from kproxy.backends.ipvs.desired import DesiredState
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.readback import INTERFACE, Sockets
from kproxy.backends.ipvs.rules import chain_names
from kproxy.backends.ipvs.sets import specifications
from kproxy.kernel.ipset.socket import SetSocket
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.links import LinkSocket
from kproxy.services.addresses import Family, Network


async def cleanup(excluded: tuple[Network, ...] = ()) -> list[str]:
    """Remove our virtual servers, chains, sets and the dummy interface; returns what was removed, in words.

    Other people's virtual servers stay: those whose address is not on our interface, nor their port a node port of
    ours, and all on the excluded networks.

    Raises:
        BackendError: the kernel refuses it
    """
    return await remove(excluded, {tool: {} for tool in every_tool()})


async def remove(excluded: tuple[Network, ...], tools: Mapping[Tool, Mapping[str, Collection[str]]]) -> list[str]:
    """Remove everything as `cleanup` does, but for chains that another mode has under the same name.

    Args:
        excluded: networks whose virtual servers are not ours
        tools: to delete chains with, each in its own tables, and what to spare there: chains by table

    Raises:
        BackendError: the kernel refuses it
    """
    try:
        removed = _remove_servers(excluded)
        for tool, spared in tools.items():
            removed += await remove_rules(tool, spared)
        return [*removed, *_remove_sets(), *_remove_interface()]
    except OSError as error:
        raise BackendError(f"cannot clean up after IPVS mode: {error}") from error


def left_anything() -> bool:
    """Whether IPVS mode has been here: its interface is the last thing to go.

    Raises:
        OSError: the kernel could not be asked
    """
    links = LinkSocket()
    try:
        return links.index(INTERFACE) != 0
    finally:
        links.close()


def _remove_servers(excluded: tuple[Network, ...]) -> list[str]:
    try:
        ipvs = IpvsSocket()
    except FileNotFoundError:
        return []  # no IPVS, no virtual servers
    sockets = Sockets(ipvs, SetSocket(), LinkSocket())
    try:
        nothing = DesiredState(IpvsOptions(excluded=excluded))
        found = []
        for family in Family:
            state = readback.read(sockets, family)
            found += repair.plan(nothing, state, ()).delta.servers_removed
        refused = ipvs.perform([ipvs.delete_server(key) for key in found]).refused
        if refused:
            raise OSError(refused[0].answer.error, str(refused[0]))
    finally:
        sockets.close()
    return [f"{len(found)} virtual servers"] if found else []


async def remove_rules(tool: Tool, spared: Mapping[str, Collection[str]]) -> list[str]:
    """Delete our chains and the jumps into them; returns what was removed, in words.

    Args:
        tool: to delete with, in its tables
        spared: chains by table that stay

    Raises:
        ProcessError: iptables refuses
    """
    chains = {table: [n for n in names if n not in spared.get(table, ())] for table, names in chain_names().items()}
    commands = rule_tables.removal(await rule_tables.read(tool), chains)
    if not commands:
        return []
    await tool.restore(commands)
    return [f"chains of {tool}"]


def _remove_interface() -> list[str]:
    links = LinkSocket()
    try:
        return [f"interface {INTERFACE}"] if links.delete(INTERFACE) else []
    finally:
        links.close()


def _remove_sets() -> list[str]:
    sets = SetSocket()
    try:
        wanted = [specification.name for family in Family for specification in specifications(family).values()]
        removed = [name for name in wanted if sets.destroy(name)]
    finally:
        sets.close()
    return [f"{len(removed)} ipsets"] if removed else []
