"""Taking everything of IPVS mode out of the kernel, whichever proxy put it there."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

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
from kproxy.kernel.ipvs.listing import read_real_servers
from kproxy.kernel.ipvs.protocol import ServerKey
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.links import LinkSocket
from kproxy.services.addresses import Family, Network

_TCP = 6


class Removal(NamedTuple):
    """What became of the objects of the mode."""

    removed: list[str]
    """In words."""
    in_use: int = 0
    """Virtual servers that stay because of connections through them; the next removal looks again."""


async def cleanup(excluded: tuple[Network, ...] = ()) -> list[str]:
    """Remove our virtual servers, chains, sets and the dummy interface; returns what was removed, in words.

    Other people's virtual servers stay: those whose address is not on our interface, nor their port a node port of
    ours, and all on the excluded networks.

    Raises:
        BackendError: the kernel refuses it
    """
    return (await remove(excluded, {tool: {} for tool in every_tool()}, spare_in_use=False)).removed


async def remove(
    excluded: tuple[Network, ...], tools: Mapping[Tool, Mapping[str, Collection[str]]], *, spare_in_use: bool
) -> Removal:
    """Remove everything as `cleanup` does, but for chains that another mode has under the same name.

    A connection that IPVS has translated is in nobody's NAT: without its virtual server it is lost. As new ones are
    translated before they get that far, a virtual server may stay, with its address, until it has no connections.

    Args:
        excluded: networks whose virtual servers are not ours
        tools: to delete chains with, each in its own tables, and what to spare there: chains by table
        spare_in_use: whether TCP servers with connections stay, and with them the interface, and the sets by which
            they are known

    Raises:
        BackendError: the kernel refuses it
    """
    try:
        removed, in_use = _remove_servers(excluded, spare_in_use=spare_in_use)
        for tool, spared in tools.items():
            removed += await remove_rules(tool, spared)
        if in_use:
            return Removal(removed, in_use)
        return Removal([*removed, *_remove_sets(), *_remove_interface()])
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


def _remove_servers(excluded: tuple[Network, ...], *, spare_in_use: bool) -> Removal:
    try:
        ipvs = IpvsSocket()
    except FileNotFoundError:
        return Removal([])  # no IPVS, no virtual servers
    sockets = Sockets(ipvs, SetSocket(), LinkSocket())
    try:
        nothing = DesiredState(IpvsOptions(excluded=excluded))
        in_use = _in_use() if spare_in_use else frozenset()
        found, spared = [], []
        for family in Family:
            state = readback.read(sockets, family)
            ours = repair.plan(nothing, state, ()).delta.servers_removed
            spared += [key for key in ours if key in in_use]
            unused = [key for key in ours if key not in in_use]
            found += unused
            if unneeded := state.addresses - {key.address for key in state.servers.keys() - set(unused)}:
                sockets.links.remove(state.interface, unneeded)
        refused = ipvs.perform([ipvs.delete_server(key) for key in found]).refused
        if refused:
            raise OSError(refused[0].answer.error, str(refused[0]))
    finally:
        sockets.close()
    return Removal([f"{len(found)} virtual servers"] if found else [], len(spared))


def _in_use() -> frozenset[ServerKey]:
    """The TCP servers with connections; clients of the other protocols do not end what they have."""
    servers = read_real_servers()
    return frozenset(key for key, real in servers.items() if key.protocol == _TCP and any(r.connections for r in real))


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
