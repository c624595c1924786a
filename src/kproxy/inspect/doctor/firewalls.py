"""Which chains of firewalls drop packets that Services depend on, in iptables (both variants) and nftables.

Every chain at a hook is asked about sample packets, by the evaluators of rule-sets. The proxies' own rules are left
out: what they drop, they drop on purpose.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from kproxy.backends.nftables.ruleset import TABLE
from kproxy.inspect.rulesets.branch import Branch, Verdict
from kproxy.inspect.rulesets.netfilter import BaseChain, ChainKind
from kproxy.inspect.rulesets.nft.ruleset import Ruleset, read_ruleset
from kproxy.inspect.rulesets.packet import Hook, Packet
from kproxy.inspect.rulesets.routes import Routes
from kproxy.inspect.rulesets.snapshot import Snapshot, read_snapshot
from kproxy.kernel.processes import run_blocking
from kproxy.services.addresses import Family

_SECONDS = 60.0
_IP_TABLES = ("ip", "ip6", "inet")
_PROXYS = "KUBE-"
"""What the chains of proxies in iptables mode are called."""
_REFUSALS = (Verdict.DROP, Verdict.REJECT)


class Sample(NamedTuple):
    """A packet that should pass."""

    words: str
    """From where to where."""
    packet: Packet


class Place(NamedTuple):
    """A base chain, as the program that shows it names it."""

    tool: str
    """Such as `nft`, `iptables-legacy` or `ip6tables-nft`."""
    family: str
    """Of the nftables table; empty for iptables."""
    table: str
    chain: str

    def __str__(self) -> str:
        first = self.family or self.tool
        return f"{first} {self.table} {self.chain}"


class Blocker(NamedTuple):
    """A chain that drops what should pass."""

    place: Place
    owner: str
    """Who made it: `docker`, `ufw`, `firewalld`, or `iptables`, `nftables` when it does not tell."""
    samples: tuple[str, ...]
    """What is dropped, in words."""
    rules: tuple[str, ...]
    """The rules that drop it, with their chains."""
    doubts: tuple[str, ...]
    """Rules before them that are not understood, and may let it pass."""


def read_firewalls() -> Snapshot:
    """The packet filters of the calling thread's network namespace, without nftables tables of proxies.

    Raises:
        ProcessError: nft is not there, or does not show its rules
        ValueError: what it shows is not understood
    """
    return msgspec.structs.replace(read_snapshot(nft=False), nft=_read_nft())


def _read_nft() -> Ruleset:
    """Table by table: a proxy's may be as large as its cluster, and so may iptables-nft's nat."""
    entries: list[Any] = []
    for entry in _listed("tables"):
        table = entry.get("table")
        if not table or table["family"] not in _IP_TABLES or table["name"] == TABLE:
            continue
        if table["name"] == "nat" and table["family"] != "inet":
            continue
        entries += _listed("table", table["family"], table["name"])
    return read_ruleset(msgspec.json.encode({"nftables": entries}))


def _listed(*what: str) -> list[dict[str, Any]]:
    output = run_blocking(["nft", "-j", "list", *what], time_limit=_SECONDS)
    return msgspec.json.decode(output, type=dict[str, list[dict[str, Any]]])["nftables"]


def blockers(
    firewalls: Snapshot, routes: Routes, family: Family, hook: Hook, samples: Sequence[Sample], *, before: int = 1 << 31
) -> list[Blocker]:
    """The chains that drop any of the samples.

    Args:
        firewalls: what was read
        routes: of the node
        family: of the samples
        hook: where the samples pass
        samples: packets as they are at that hook
        before: ask only chains of smaller priority than this
    """
    found = []
    for chain in firewalls.chains(family, routes):
        if chain.hook is not hook or chain.kind is not ChainKind.FILTER or chain.priority >= before:
            continue
        place = _place(chain)
        asked = [(sample, result) for sample in samples for result in chain.run(Branch(sample.packet))]
        refused = [(s, r) for s, r in asked if r.verdict in _REFUSALS and not _is_proxys(r)]
        if refused:
            found.append(
                Blocker(
                    place=place,
                    owner=_owner(place, family, firewalls),
                    samples=tuple(dict.fromkeys(sample.words for sample, _ in refused)),
                    rules=tuple(dict.fromkeys(_rule(result) for _, result in refused)),
                    doubts=tuple(dict.fromkeys(f"{d.where}: {d.rule}" for _, r in refused for d in r.doubts)),
                )
            )
    return found


def _is_proxys(result: Branch) -> bool:
    return _PROXYS in result.steps[-1].where


def _rule(result: Branch) -> str:
    return f"{result.steps[-1].where}: {result.steps[-1].rule}"


def _place(chain: BaseChain) -> Place:
    """From its name: `iptables-nft filter FORWARD`, or `inet mine forward` in nftables."""
    first, table, name = chain.name.split(" ", 2)
    return Place("nft", first, table, name) if first in _IP_TABLES else Place(first, "", table, name)


def _owner(place: Place, family: Family, firewalls: Snapshot) -> str:
    if place.tool == "nft":
        return "firewalld" if place.table == "firewalld" else "nftables"
    names = firewalls.iptables[family][place.tool][place.table]
    if "DOCKER-USER" in names or "DOCKER-FORWARD" in names:
        return "docker"
    return "ufw" if any(name.startswith(("ufw-", "ufw6-")) for name in names) else "iptables"
