"""Evaluates chains of iptables: what becomes of a packet, rule by rule."""

from collections.abc import Iterator, Mapping

from kproxy.inspect.rulesets.branch import Branch, Doubt, Step, Verdict, merged
from kproxy.inspect.rulesets.iptables.conditions import Surroundings, probability
from kproxy.inspect.rulesets.iptables.saved import Chain, Rule, SavedTables
from kproxy.inspect.rulesets.iptables.targets import INERT, apply
from kproxy.inspect.rulesets.netfilter import BaseChain, ChainKind
from kproxy.inspect.rulesets.packet import Hook
from kproxy.inspect.rulesets.understanding import NotUnderstoodError

_DEEPEST = 64
_PRIORITIES = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
_SOURCE_NAT = 100
"""Of the nat table behind the routing decision (NF_IP_PRI_NAT_SRC)."""


def base_chains(tables: SavedTables, program: str, around: Surroundings) -> Iterator[BaseChain]:
    """The built-in chains.

    Args:
        tables: of one IP family
        program: which of the iptables programs they belong to, for people
        around: what rules may refer to
    """
    for table, chains in tables.items():
        for hook in Hook:
            name = hook.value.upper()
            if name in chains and table in _PRIORITIES:
                yield _BuiltInChain(f"{program} {table}", name, hook, table, chains, around)


class _BuiltInChain:
    """Implements `kproxy.inspect.rulesets.netfilter.BaseChain`."""

    def __init__(
        self,
        place: str,
        name: str,
        hook: Hook,
        table: str,
        chains: Mapping[str, Chain],
        around: Surroundings,
    ) -> None:
        behind_routing = table == "nat" and hook in (Hook.INPUT, Hook.POSTROUTING)
        self.hook: Hook = hook
        self.priority: int = _SOURCE_NAT if behind_routing else _PRIORITIES[table]
        self.kind: ChainKind = ChainKind.NAT if table == "nat" else ChainKind.FILTER
        self.name = f"{place} {name}"
        self._place, self._chain, self._chains, self._around = place, name, chains, around

    def run(self, branch: Branch) -> list[Branch]:
        results = self._run(self._chain, branch, 0)
        if self._chains[self._chain].policy != "DROP":
            return results
        dropped = Step(self.name, "policy DROP", "dropped")
        return [r.after(dropped).with_verdict(Verdict.DROP) if r.verdict is Verdict.CONTINUE else r for r in results]

    def _run(self, name: str, branch: Branch, depth: int) -> list[Branch]:
        live, finished = [branch], list[Branch]()
        for rule in self._chains[name].rules:
            onwards: list[Branch] = []
            for each in live:
                self._rule(name, rule, each, depth, onwards, finished)
            live = merged(onwards) if len(onwards) > 1 else onwards
            if not live:
                break
        return merged([*finished, *live])

    def _rule(
        self, chain: str, rule: Rule, branch: Branch, depth: int, onwards: list[Branch], finished: list[Branch]
    ) -> None:
        """Run one rule; `onwards` takes the branches that go on to the next, `finished` those that leave the chain."""
        where = f"{self._place} {chain}"
        try:
            passes = probability(rule, branch.packet, self._around)
            if passes < 1.0:
                onwards.append(branch.weighted(1.0 - passes))
            if not passes or not rule.target:
                if passes:
                    onwards.append(branch.weighted(passes))
                return
            matched = branch.weighted(passes)
            if rule.target == "RETURN":
                finished.append(matched.after(Step(where, rule.text, "returns from the chain", rule.comment)))
                return
            if rule.target in self._chains:
                self._call(where, rule, matched, depth, onwards, finished)
                return
            deed = apply(rule.target, rule.target_options, matched.packet)
        except (NotUnderstoodError, ValueError) as error:
            inert = rule.target in INERT
            onwards.append(branch if inert else branch.doubting(Doubt(where, rule.text, str(error))))
            return
        if deed.changes:
            matched = matched.with_packet(**deed.changes)
        if deed.effect:
            matched = matched.after(Step(where, rule.text, deed.effect, rule.comment))
        if deed.verdict is None:
            onwards.append(matched)
        else:
            finished.append(matched.with_verdict(deed.verdict))

    def _call(
        self, where: str, rule: Rule, branch: Branch, depth: int, onwards: list[Branch], finished: list[Branch]
    ) -> None:
        if depth >= _DEEPEST:
            onwards.append(branch.doubting(Doubt(where, rule.text, "chains call one another in a circle")))
            return
        verb = "goto" if rule.goto else "jump"
        called = branch.after(Step(where, rule.text, f"{verb} {rule.target}", rule.comment))
        for result in self._run(rule.target, called, depth + 1):
            if result.verdict is Verdict.CONTINUE and not rule.goto:
                onwards.append(result)
            else:
                finished.append(result)
