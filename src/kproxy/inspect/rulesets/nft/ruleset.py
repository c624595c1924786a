"""The parts of a rule-set: tables, chains, rules, named sets."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from kproxy.inspect.rulesets.netfilter import ChainKind
from kproxy.inspect.rulesets.nft.sets import NftSet
from kproxy.inspect.rulesets.nft.text import rule_text
from kproxy.inspect.rulesets.packet import Hook
from kproxy.services.addresses import Family

_FAMILIES = {"ip": (Family.IPV4,), "ip6": (Family.IPV6,), "inet": (Family.IPV4, Family.IPV6)}
"""Tables of the other families see frames, not IP packets on their way through the node."""
_HOOKS = {hook.value: hook for hook in Hook}
_KINDS = {kind.value: kind for kind in ChainKind}
IPTABLES_TABLES = frozenset({"raw", "mangle", "nat", "filter", "security"})
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}


class TableName(NamedTuple):
    family: str
    name: str

    def __str__(self) -> str:
        return f"{self.family} {self.name}"


class Rule(NamedTuple):
    statements: Sequence[Any]
    """As in the JSON."""
    comment: str
    handle: int = 0
    """The number by which the kernel knows it."""

    @property
    def text(self) -> str:
        """As nft prints it."""
        return rule_text(self.statements, self.comment)


class Attachment(NamedTuple):
    """How a base chain is called."""

    hook: Hook
    priority: int
    kind: ChainKind
    policy: str


class Table:
    def __init__(self, name: TableName) -> None:
        self.name = name
        self.chains: dict[str, list[Rule]] = {}
        self.attachments: dict[str, Attachment] = {}
        self.sets: dict[str, NftSet] = {}

    @property
    def by_iptables(self) -> bool:
        """Whether iptables-nft made it: its rules can then be read with iptables-save alone."""
        named_so = self.name.family in ("ip", "ip6") and self.name.name in IPTABLES_TABLES
        if named_so and all(name == attached.hook.name for name, attached in self.attachments.items()):
            return True
        return any("xt" in s for rules in self.chains.values() for r in rules for s in r.statements if s)

    def serves(self, family: Family) -> bool:
        return family in _FAMILIES.get(self.name.family, ())


class Ruleset(NamedTuple):
    tables: Mapping[TableName, Table]
    unread: tuple[str, ...]
    """What was passed over, in words."""


def read_ruleset(output: bytes) -> Ruleset:
    """Read what `nft -j list ruleset` printed.

    Raises:
        ValueError: it is not that
    """
    try:
        entries = msgspec.json.decode(output, type=dict[str, list[dict[str, Any]]])["nftables"]
    except (msgspec.DecodeError, KeyError) as error:
        raise ValueError(f"this is not the JSON of nft: {error}") from error
    tables: dict[TableName, Table] = {}
    unread: list[str] = []
    for entry in entries:
        for kind, body in entry.items():
            try:
                _add(tables, kind, body, unread)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
                unread.append(f"{kind}: {error!r}")
    return Ruleset(tables, tuple(unread))


def _add(tables: dict[TableName, Table], kind: str, body: Any, unread: list[str]) -> None:
    match kind:
        case "table":
            name = TableName(body["family"], body["name"])
            tables[name] = Table(name)
            return
        case "metainfo" | "element":
            return
    table = tables[TableName(body["family"], body["table"])]
    match kind:
        case "chain":
            table.chains.setdefault(body["name"], [])
            hook = _HOOKS.get(body.get("hook", ""))
            if hook is not None:
                attachment = Attachment(hook, _priority(body["prio"]), _KINDS[body["type"]], body.get("policy", ""))
                table.attachments[body["name"]] = attachment
            elif "hook" in body:
                unread.append(f"table {table.name} chain {body['name']} at hook {body['hook']}")
        case "rule":
            table.chains.setdefault(body["chain"], []).append(
                Rule(body["expr"], body.get("comment", ""), body.get("handle", 0))
            )
        case "set" | "map":
            types = body["type"] if isinstance(body["type"], list) else [body["type"]]
            data = body.get("map", [])
            data_types = data if isinstance(data, list) else str(data).split(" . ")
            reference = f"@{body['name']}"
            table.sets[reference] = NftSet(reference, list(map(str, types)), body.get("elem", ()), data_types)


def _priority(value: int | str) -> int:
    return value if isinstance(value, int) else _PRIORITIES[value]
