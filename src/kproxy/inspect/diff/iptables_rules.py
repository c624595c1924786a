"""The rules of iptables mode, chain by chain, by what they do.

Comments, counters, and the order of Services and endpoints are left out.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from kproxy.backends.iptables.backend import rule_options
from kproxy.backends.iptables.compile import NAT, Shared
from kproxy.backends.iptables.desired import DesiredRules, chains_of
from kproxy.backends.iptables.names import PER_SERVICE, SERVICES
from kproxy.backends.iptables.options import RuleOptions
from kproxy.backends.iptables.skeleton import fixed_chains, jumps, to_node_ports
from kproxy.daemon.modes import iptables_options
from kproxy.inspect.desired import DesiredState
from kproxy.inspect.diff.report import Difference, Kind
from kproxy.inspect.rulesets.iptables.saved import Condition, Rule, SavedTables, read_rule
from kproxy.services.addresses import Family
from kproxy.services.local_traffic import LocalTraffic

_LOCALHOST = bytes((127, 0, 0, 1))
_WITHOUT_EFFECT = frozenset({"-m", "--comment", "--nfacct-name", "--mode"})
_SHARE = "--probability"
_TOLERANCE = 0.001

Meaning: TypeAlias = tuple[frozenset[Condition], str, str, bool, tuple[str, ...]]
"""What a rule does: conditions, what is unknown of them, target, whether it is a goto, the target's options."""


class _Chain(NamedTuple):
    table: str
    name: str
    rules: Sequence[Rule]
    ordered: bool
    """Its rules' order matters."""


def find_tables(programs: Mapping[str, SavedTables]) -> tuple[str, SavedTables]:
    """The program whose rules are a kube-proxy's, and its tables; of several, the one with more of them."""
    ranked = sorted(
        programs.items(), key=lambda item: len(item[1].get(NAT, {}).get(SERVICES, ("", ()))[1]), reverse=True
    )
    return ranked[0] if ranked else ("iptables", {})


class Comparison:
    """Compares one family's rules."""

    def __init__(self, desired: DesiredState, family: Family, programs: Mapping[str, SavedTables]) -> None:
        self.program, self._found = find_tables(programs)
        chains = [chain for table in self._found.values() for chain in table.values()]
        counted = any("nfacct" in rule.text for chain in chains for rule in chain.rules)
        self._rules = DesiredRules(desired_options(desired, family, accounting=counted))
        self._rules.load(desired.tracker)
        self._owners: dict[str, str] = {}
        """The Service of each rule and chain of single Services."""
        self.compared = 0
        """Rules looked at so far."""

    def differences(self) -> Iterator[Difference]:
        """Everything that differs."""
        wanted = list(self._wanted())
        for chain in wanted:
            self.compared += len(chain.rules)
            yield from self._compare(chain)
        yield from self._jumps()
        known = {chain.name for chain in wanted}
        for name, chain_found in self._found.get(NAT, {}).items():
            if name.startswith(PER_SERVICE) and name not in known:
                service = _service_in(chain_found.rules)
                yield Difference(kind="extra", place=f"{self.program} {NAT}", object=f"chain {name}", service=service)

    def _wanted(self) -> Iterator[_Chain]:
        rules = self._rules
        for (table, fixed), lines in fixed_chains(rules.options).items():
            yield _Chain(table, fixed, [_read(line.encode()) for line in lines], True)
        for name, compiled in rules.compiled.items():
            for chain, own in chains_of(compiled):
                self._owners[chain.decode()] = str(name)
                yield _Chain(NAT, chain.decode(), [_read(line) for line in own.splitlines()], True)
        for shared in Shared:
            last = to_node_ports(rules.options) if shared is Shared.NAT_SERVICES else []
            found: list[Rule] = []
            for service, compiled in rules.compiled.items():
                for line in compiled.shared[shared].splitlines():
                    rule = _read(line)
                    self._owners[rule.text] = str(service)
                    found.append(rule)
            found += [_read(line.encode()) for line in last]
            yield _Chain(shared.table, shared.chain, found, False)

    def _compare(self, wanted: _Chain) -> Iterator[Difference]:
        place = f"{self.program} {wanted.table}"
        owner = self._owners.get(wanted.name, "")
        chain = self._found.get(wanted.table, {}).get(wanted.name)
        if chain is None:
            yield Difference(kind="missing", place=place, object=f"chain {wanted.name}", service=owner)
            return
        want, have = [meaning(r) for r in wanted.rules], [meaning(r) for r in chain.rules]
        if want == have or (not wanted.ordered and Counter(want) == Counter(have)):
            return
        if wanted.ordered and _same_balance(wanted.rules, chain.rules):
            return
        place = f"{place} {wanted.name}"
        gone, come = Counter(want) - Counter(have), Counter(have) - Counter(want)
        for rule, each in zip(wanted.rules, want, strict=True):
            if gone[each] > 0:
                gone[each] -= 1
                service = owner or self._owners.get(rule.text, "")
                yield Difference(kind="missing", place=place, object=rule.text, service=service)
        for rule, each in zip(chain.rules, have, strict=True):
            if come[each] > 0:
                come[each] -= 1
                yield Difference(kind="extra", place=place, object=rule.text, service=owner or _service_in([rule]))
        if Counter(want) == Counter(have):
            yield self._order(place, owner)

    def _order(self, place: str, owner: str) -> Difference:
        kind: Kind = "different"
        return Difference(kind=kind, place=place, object="the order of the rules", service=owner)

    def _jumps(self) -> Iterator[Difference]:
        for jump in jumps(self._rules.options):
            self.compared += 1
            wanted = meaning(_read(jump.line.encode()))
            chain = self._found.get(jump.table, {}).get(jump.source)
            if chain is None or wanted not in map(meaning, chain.rules):
                place = f"{self.program} {jump.table} {jump.source}"
                yield Difference(kind="missing", place=place, object=f"{jump.rule}-j {jump.target}")


def desired_options(desired: DesiredState, family: Family, *, accounting: bool) -> RuleOptions:
    """How the configuration has one family's rules written, with what is known of the node."""
    options = rule_options(family, iptables_options(desired.settings.configuration), counted=accounting)
    addresses = {a for a in desired.node_port_addresses if len(a) == family.length}
    return msgspec.structs.replace(
        options,
        local_traffic=desired.local_traffic.get(family, LocalTraffic()),
        node_port_addresses=frozenset(addresses | ({_LOCALHOST} if options.localhost_node_ports else set())),
        node_ip=next((a for a in desired.primary_addresses if len(a) == family.length), None),
    )


def _read(line: bytes) -> Rule:
    """A line that appends a rule."""
    return read_rule(line.decode().split(" ", 2)[2])


def meaning(rule: Rule) -> Meaning:
    """What a rule does, to be compared."""
    conditions = frozenset(c for c in rule.conditions if c.option not in _WITHOUT_EFFECT)
    return conditions, rule.unknown, rule.target, rule.goto, rule.target_options


def _same_balance(wanted: Sequence[Rule], found: Sequence[Rule]) -> bool:
    """Whether two chains send the same share of connections to the same targets, in whatever order of endpoints."""
    if not any(_probability(rule) is not None for rule in (*wanted, *found)):
        return False
    first, second = _shares(wanted), _shares(found)
    rest = [[_without_share(rule) for rule in rules] for rules in (wanted, found)]
    if Counter(rest[0]) != Counter(rest[1]) or first.keys() != second.keys():
        return False
    return all(abs(first[target] - second[target]) < _TOLERANCE for target in first)


def _without_share(rule: Rule) -> Meaning:
    return meaning(rule._replace(conditions=tuple(c for c in rule.conditions if c.option != _SHARE)))


def _probability(rule: Rule) -> float | None:
    return next((float(c.arguments[0]) for c in rule.conditions if c.option == _SHARE), None)


def _shares(rules: Iterable[Rule]) -> dict[str, float]:
    """What share of new connections each target gets from rules that draw lots one after the other."""
    found: dict[str, float] = {}
    left = 1.0
    balanced = [r for r in rules if _probability(r) is not None or not _tests(r)]
    for rule in balanced:
        chance = _probability(rule)
        share = left * (1.0 if chance is None else chance)
        found[rule.target] = found.get(rule.target, 0.0) + share
        left -= share
    return found


def _tests(rule: Rule) -> bool:
    return any(c.option not in _WITHOUT_EFFECT for c in rule.conditions)


def _service_in(rules: Iterable[Rule]) -> str:
    """The Service that rules' comments name: they begin with, or contain, `namespace/name:port`."""
    words = itertools.chain.from_iterable(rule.comment.split() for rule in rules)
    return next((word.partition(":")[0] for word in words if "/" in word), "")
