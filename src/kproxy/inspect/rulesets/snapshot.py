"""Everything in the kernel that decides about packets, read once."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import msgspec

from kproxy.backends.ipvs.sets import specifications
from kproxy.inspect.rulesets import ipvs
from kproxy.inspect.rulesets.iptables import chains as iptables_chains
from kproxy.inspect.rulesets.iptables.conditions import Surroundings
from kproxy.inspect.rulesets.iptables.ipsets import IpSets, read_sets, referred
from kproxy.inspect.rulesets.iptables.recent import read_recent
from kproxy.inspect.rulesets.iptables.saved import SavedTables, read_saved
from kproxy.inspect.rulesets.ipvs_persistence import Persistence, read_persistence
from kproxy.inspect.rulesets.netfilter import BaseChain
from kproxy.inspect.rulesets.nft import chains as nft_chains
from kproxy.inspect.rulesets.nft.ruleset import Ruleset, read_ruleset
from kproxy.inspect.rulesets.routes import Routes
from kproxy.kernel.ipset.elements import describe
from kproxy.kernel.ipset.socket import SetSocket
from kproxy.kernel.ipvs.listing import read_real_servers
from kproxy.kernel.ipvs.protocol import PERSISTENT
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.processes import ProcessError, run_blocking
from kproxy.services.addresses import Address, Family

_SECONDS = 120.0
_IPVS = Path("/proc/thread-self/net/ip_vs")
_PROGRAMS = {
    Family.IPV4: ("iptables-nft", "iptables-legacy", "iptables"),
    Family.IPV6: ("ip6tables-nft", "ip6tables-legacy", "ip6tables"),
}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one network namespace."""

    nft: Ruleset | None = None
    iptables: Mapping[Family, Mapping[str, SavedTables]] = {}
    """By the program that shows them."""
    sets: IpSets = IpSets({})
    servers: ipvs.VirtualServers = {}
    persistence: Persistence = Persistence()
    recent: Mapping[str, Collection[Address]] = {}
    unread: tuple[str, ...] = ()
    """What could not be read, in words: what it holds may matter."""

    def chains(self, family: Family, routes: Routes) -> Iterator[BaseChain]:
        """All that hooks call for packets of a family."""
        if self.nft:
            yield from nft_chains.base_chains(self.nft, family, routes)
        around = Surroundings(routes, self.sets, self.recent)
        for program, tables in self.iptables.get(family, {}).items():
            yield from iptables_chains.base_chains(tables, program, around)
        if self.servers:
            yield from ipvs.base_chains(self.servers, self.persistence)

    @property
    def empty(self) -> bool:
        """Whether there is no rule at all."""
        return not self.servers and not any(self.iptables.values()) and not (self.nft and self.nft.tables)


def read_snapshot(*, nft: bool = True, iptables: bool = True, elements: bool = True) -> Snapshot:
    """Read the network namespace of the calling thread; what cannot be read is named in `unread`.

    Args:
        nft: with the rules of nftables
        iptables: with those of iptables
        elements: with what is in the sets of nftables, which may be most of everything
    """
    unread: list[str] = []
    tables, texts = _read_iptables(unread) if iptables else ({}, "")
    ruleset = _read_nft(unread, terse=not elements) if nft else None
    if ruleset and iptables:
        unread += _hidden(ruleset, tables)
    servers = _read_servers(unread)
    return Snapshot(
        nft=ruleset,
        iptables=tables,
        sets=_read_sets(texts, unread),
        servers=servers,
        persistence=_read_persistence(servers, unread),
        recent=read_recent(),
        unread=tuple(unread),
    )


def _read_nft(unread: list[str], *, terse: bool) -> Ruleset | None:
    command = ["nft", "-j", *(["-t"] if terse else []), "list", "ruleset"]
    try:
        ruleset = read_ruleset(run_blocking(command, time_limit=_SECONDS))
    except (ProcessError, ValueError) as error:
        unread.append(f"nftables: {error}")
        return None
    unread += [f"nftables: {what}" for what in ruleset.unread]
    return ruleset


def _hidden(ruleset: Ruleset, iptables: Mapping[Family, Mapping[str, SavedTables]]) -> Iterator[str]:
    """Tables that iptables-nft made, where none of its programs is there to show them."""
    for family, word in ((Family.IPV4, "ip"), (Family.IPV6, "ip6")):
        shown = {table for tables in iptables.get(family, {}).values() for table in tables}
        for name, table in ruleset.tables.items():
            if name.family == word and table.by_iptables and name.name not in shown and any(table.chains.values()):
                yield f"table {name}, which iptables-nft made: install iptables to have it read"


def _read_iptables(unread: list[str]) -> tuple[dict[Family, dict[str, SavedTables]], str]:
    found: dict[Family, dict[str, SavedTables]] = {family: {} for family in Family}
    texts: list[str] = []
    for family, programs in _PROGRAMS.items():
        problems: list[str] = []
        read = 0
        for program in programs:
            if program == programs[-1] and read:
                break  # the default is one of the two that were read
            try:
                text = run_blocking([f"{program}-save"], time_limit=_SECONDS).decode(errors="replace")
                tables = read_saved(text)
            except (ProcessError, ValueError) as error:
                problems.append(str(error))
                continue
            read += 1
            texts.append(text)
            if tables:
                found[family][program] = tables
        if not read:
            unread.append(f"iptables rules for {family.value}: {problems[-1]}")
    return found, "".join(texts)


def _read_sets(rules: str, unread: list[str]) -> IpSets:
    if not referred(rules):
        return IpSets({})
    try:
        return read_sets(run_blocking(["ipset", "save"], time_limit=_SECONDS).decode(errors="replace"))
    except ProcessError as error:
        problem = str(error)
    # Without the program, at least the sets of a kube-proxy can be read.
    try:
        return read_sets("\n".join(_list_known_sets()))
    except OSError as error:
        unread.append(f"sets: {problem}; {error}")
        return IpSets({})


def _list_known_sets() -> Iterator[str]:
    socket = SetSocket()
    try:
        for family in Family:
            for specification in specifications(family).values():
                listed = socket.list(specification)
                if listed is None:
                    continue
                yield f"create {specification.name} {listed.type}"
                for element in listed.elements:
                    yield f"add {specification.name} {describe(specification.type, family, element)}"
    finally:
        socket.close()


def _read_servers(unread: list[str]) -> ipvs.VirtualServers:
    if not _IPVS.exists():
        return {}
    try:
        socket = IpvsSocket()
        try:
            settings = dict(socket.servers())
        finally:
            socket.close()
        real_servers = read_real_servers()
    except OSError as error:
        unread.append(f"IPVS: {error}")
        return {}
    return {key: ipvs.VirtualServer(how, real_servers.get(key, ())) for key, how in settings.items()}


def _read_persistence(servers: ipvs.VirtualServers, unread: list[str]) -> Persistence:
    if not any(server.settings.flags & PERSISTENT for server in servers.values()):
        return Persistence()
    try:
        return read_persistence()
    except OSError as error:
        unread.append(f"clients of IPVS: {error}")
        return Persistence()
