"""The texts of rules by their handles, as the kernel names them when it tells of a packet's way."""

from typing import NamedTuple

from kproxy.inspect.rulesets.nft.ruleset import TableName
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.inspect.trace.live.tracer import Told
from kproxy.services.addresses import Family

_FAMILIES = {"ip": Family.IPV4, "ip6": Family.IPV6}


class _Text(NamedTuple):
    text: str
    comment: str
    rejects: bool


class RuleTexts:
    """Finds rules in a snapshot. Those of iptables-nft are shown in the words of iptables."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        self._snapshot = snapshot
        self._known: dict[tuple[str, str, str], dict[int, _Text]] = {}

    def text(self, told: Told) -> str:
        """The rule, or nothing when it is not known."""
        return self._find(told).text

    def comment(self, told: Told) -> str:
        return self._find(told).comment

    def rejects(self, told: Told) -> bool:
        """Whether the rule answers with an error instead of silence."""
        return self._find(told).rejects

    def _find(self, told: Told) -> _Text:
        place = (told.family, told.table, told.chain)
        if place not in self._known:
            self._known[place] = self._read(*place)
        return self._known[place].get(told.handle, _Text("", "", False))

    def _read(self, family: str, table: str, chain: str) -> dict[int, _Text]:
        ruleset = self._snapshot.nft if self._snapshot else None
        found = ruleset.tables.get(TableName(family, table)) if ruleset else None
        if found is None or self._snapshot is None:
            return {}
        rules = found.chains.get(chain, [])
        if found.by_iptables and family in _FAMILIES:
            for tables in self._snapshot.iptables.get(_FAMILIES[family], {}).values():
                saved = tables[table][chain].rules if chain in tables.get(table, {}) else []
                # They are listed in the same order, but only one of the two listings has handles.
                if len(saved) == len(rules):
                    return {
                        rule.handle: _Text(each.text, each.comment, each.target == "REJECT")
                        for rule, each in zip(rules, saved, strict=True)
                    }
        return {
            rule.handle: _Text(rule.text, rule.comment, any("reject" in s for s in rule.statements if s))
            for rule in rules
        }
