"""What each proxy mode leaves in the kernel, and how to recognise it: names that kube-proxy made a convention.

In iptables and IPVS mode both proxies use kube-proxy's names, so that their rules tell the mode but not the author;
in nftables mode the table has the same name, and its sets tell whose it is.
"""

import enum
from collections.abc import Callable, Mapping
from typing import NamedTuple

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables.names import CANARY, EXTERNAL_SERVICES, NODEPORTS, PER_SERVICE
from kproxy.backends.iptables.saved import Saved
from kproxy.backends.iptables.tool import Tool
from kproxy.backends.iptables.variants import every_tool
from kproxy.backends.ipvs.readback import INTERFACE
from kproxy.backends.nftables.backend import open_nftables
from kproxy.backends.nftables.ruleset import TABLE
from kproxy.backends.nftables.sets import SetName
from kproxy.backends.nftables.statements import IP, NFPROTO
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.links import LinkSocket
from kproxy.kernel.netlink import each_attribute
from kproxy.kernel.nftnl.reading import TableContents, read_element_lists, read_table
from kproxy.kernel.nftnl.transaction import NftSocket
from kproxy.kernel.processes import ProcessError
from kproxy.services.addresses import Family

_STOCK_SETS = {"service-ips", "no-endpoint-services"}
_PER_SERVICE = tuple(prefix.encode() for prefix in PER_SERVICE)
_IPTABLES_ONLY = {NODEPORTS.encode(), EXTERNAL_SERVICES.encode(), CANARY.encode()}
_IPVS_ONLY = {b"KUBE-NODE-PORT", b"KUBE-LOAD-BALANCER", b"KUBE-IPVS-FILTER", b"KUBE-IPVS-OUT-FILTER"}


class Owner(enum.Enum):
    """Which program's rules they are."""

    KPROXY = "kproxy"
    KUBE_PROXY = "kube-proxy"
    EITHER = "kproxy or kube-proxy"
    """Both write the same ones."""

    @property
    def command(self) -> str:
        """The program that removes them."""
        return "kube-proxy" if self is Owner.KUBE_PROXY else "kproxy"


class Footprint(NamedTuple):
    """What one mode has in the kernel."""

    mode: str
    owner: Owner
    evidence: tuple[str, ...]
    objects: Mapping[str, int]
    """How many of each kind, such as `nat rules`."""

    @property
    def size(self) -> int:
        return sum(self.objects.values())


class Kernel(NamedTuple):
    """Every mode's footprint in this network namespace."""

    footprints: tuple[Footprint, ...]
    problems: tuple[str, ...]
    """What could not be read, and why."""


def read_kernel() -> Kernel:
    """Look for every mode's objects, in the network namespace of the calling thread."""
    footprints: list[Footprint] = []
    problems: list[str] = []
    readers: tuple[Callable[[], list[Footprint]], ...] = (_nftables, _iptables_chains, _ipvs)
    for read in readers:
        try:
            footprints += read()
        except (BackendError, ProcessError, OSError) as error:
            problems.append(str(error))
    return Kernel(_merged(footprints), tuple(problems))


def _merged(found: list[Footprint]) -> tuple[Footprint, ...]:
    """One footprint a mode and owner: IPVS mode has chains as well as virtual servers."""
    merged: dict[tuple[str, Owner], Footprint] = {}
    for each in found:
        key = (each.mode, each.owner)
        before = merged.get(key)
        if before is not None:
            objects = {**before.objects}
            for kind, number in each.objects.items():
                objects[kind] = objects.get(kind, 0) + number
            each = Footprint(each.mode, each.owner, before.evidence + each.evidence, objects)
        merged[key] = each
    return tuple(merged.values())


# ---------------------------------------------------------------------- nftables


def _nftables() -> list[Footprint]:
    socket = open_nftables()
    try:
        return [
            _of_table(socket, family, contents)
            for family in Family
            if (contents := read_table(socket, NFPROTO[family], TABLE)) is not None
        ]
    finally:
        socket.close()


def _of_table(socket: NftSocket, family: Family, contents: TableContents) -> Footprint:
    elements = sum(
        sum(1 for _ in each_attribute(encoded))
        for name in contents.sets
        for encoded in read_element_lists(socket, NFPROTO[family], TABLE, name)
    )
    owner, why = _table_owner(contents)
    objects = {
        "nftables chains": len(contents.chains),
        "nftables rules": sum(map(len, contents.rules.values())),
        "nftables sets and maps": len(contents.sets),
        "nftables elements": elements,
    }
    return Footprint("nftables", owner, (f"table {IP[family]} {TABLE}: {why}",), objects)


def _table_owner(contents: TableContents) -> tuple[Owner, str]:
    if contents.sets.keys() >= _STOCK_SETS:
        return Owner.KUBE_PROXY, f"{len(contents.chains)} chains, kube-proxy's maps ({', '.join(sorted(_STOCK_SETS))})"
    if SetName.BALANCERS in contents.sets:
        return Owner.KPROXY, f"{len(contents.chains)} chains, kproxy's maps ({SetName.BALANCERS})"
    return Owner.EITHER, f"{len(contents.chains)} chains, but neither proxy's maps"


# ---------------------------------------------------------------------- iptables


def _iptables_chains() -> list[Footprint]:
    return [footprint for tool in every_tool() for footprint in _of_tool(tool, tool.save_blocking())]


def _of_tool(tool: Tool, saved: Saved) -> list[Footprint]:
    kube = {
        table: {chain: rules for chain, rules in chains.items() if chain.startswith(b"KUBE-")}
        for table, chains in saved.tables.items()
    }
    names = {chain for chains in kube.values() for chain in chains}
    per_service = sum(chain.startswith(_PER_SERVICE) for chain in names)
    objects = {f"{table} rules": sum(map(len, chains.values())) for table, chains in kube.items() if chains}
    found = []
    if per_service or names & _IPTABLES_ONLY:
        shown = f"{per_service} chains of Services and endpoints"
        marks = ", ".join(sorted(name.decode() for name in names & _IPTABLES_ONLY))
        evidence = f"{_save_name(tool)}: {shown}" + (f"; {marks}" if marks else "")
        found.append(Footprint("iptables", Owner.EITHER, (evidence,), objects))
    if names & _IPVS_ONLY:
        marks = ", ".join(sorted(name.decode() for name in names & _IPVS_ONLY))
        mine = {} if found else objects
        found.append(Footprint("ipvs", Owner.EITHER, (f"{_save_name(tool)}: chains {marks}",), mine))
    return found


def _save_name(tool: Tool) -> str:
    command = "iptables" if tool.family is Family.IPV4 else "ip6tables"
    return f"{command}-{tool.variant.value}-save"


# ---------------------------------------------------------------------- IPVS


def _ipvs() -> list[Footprint]:
    evidence = []
    objects: dict[str, int] = {}
    links = LinkSocket()
    try:
        index = links.index(INTERFACE)
        if index:
            held = links.addresses().get(index, set())
            objects["service addresses"] = len(held)
            evidence.append(f"interface {INTERFACE} with {len(held)} addresses")
    finally:
        links.close()
    try:
        ipvs = IpvsSocket()
    except OSError:
        pass  # the kernel has no IPVS, so there are no virtual servers
    else:
        try:
            servers = sum(1 for _ in ipvs.servers())
        finally:
            ipvs.close()
        # Virtual servers without the interface are somebody else's, such as keepalived's.
        if servers and index:
            objects["virtual servers"] = servers
            evidence.append(f"{servers} IPVS virtual servers")
    return [Footprint("ipvs", Owner.EITHER, tuple(evidence), objects)] if evidence else []
