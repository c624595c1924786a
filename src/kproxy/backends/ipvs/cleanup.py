"""Taking everything of IPVS mode out of the kernel, whichever proxy put it there."""

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables.variants import every_tool
from kproxy.backends.ipvs import readback, repair, rule_tables
from kproxy.backends.ipvs.desired import DesiredState
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.programmer import INTERFACE
from kproxy.backends.ipvs.readback import Sockets
from kproxy.backends.ipvs.rules import FixedRules
from kproxy.backends.ipvs.sets import specifications
from kproxy.kernel.ipset.socket import SetSocket
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.links import LinkSocket
from kproxy.services.addresses import Family, Network
from kproxy.services.local_traffic import LocalTraffic


def cleanup(excluded: tuple[Network, ...] = ()) -> list[str]:
    """Remove our virtual servers, chains, sets and the dummy interface; returns what was removed, in words.

    Other people's virtual servers stay: those whose address is not on our interface, nor their port a node port of
    ours, and all on the excluded networks.

    Raises:
        BackendError: the kernel refuses it
    """
    try:
        return [*_remove_servers(excluded), *_remove_rules(), *_remove_interface(), *_remove_sets()]
    except OSError as error:
        raise BackendError(f"cannot clean up after IPVS mode: {error}") from error


def _remove_servers(excluded: tuple[Network, ...]) -> list[str]:
    try:
        ipvs = IpvsSocket()
    except FileNotFoundError:
        return []  # no IPVS, no virtual servers
    sockets = Sockets(ipvs, SetSocket(), LinkSocket())
    try:
        index = sockets.links.index(INTERFACE)
        nothing = DesiredState(IpvsOptions(excluded=excluded))
        found = []
        for family in Family:
            state = readback.read(sockets, family, index)
            found += repair.plan(nothing, state, ()).delta.servers_removed
        refused = ipvs.perform([ipvs.delete_server(key) for key in found]).refused
        if refused:
            raise OSError(refused[0].answer.error, str(refused[0]))
    finally:
        sockets.close()
    return [f"{len(found)} virtual servers"] if found else []


def _remove_rules() -> list[str]:
    removed = []
    chains = {
        table: list(names)
        for table, names in FixedRules(
            Family.IPV4, masquerade_mark=1, masquerade_all=False, local_traffic=LocalTraffic()
        )
        .tables()
        .items()
    }
    try:
        tools = every_tool()
    except BackendError:
        return []  # without the programs there can be no rules of ours
    for tool in tools:
        commands = rule_tables.removal(rule_tables.read(tool), chains)
        if commands:
            tool.restore(commands)
            removed.append(f"chains of {tool}")
    return removed


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
