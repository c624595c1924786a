"""What ip_tables told, in the words of the rules that iptables-save shows."""

from collections.abc import Iterable, Iterator

import msgspec

from kproxy.backends.iptables.tool import COMMANDS
from kproxy.inspect.rulesets.branch import Verdict
from kproxy.inspect.rulesets.iptables.chains import base_chains
from kproxy.inspect.rulesets.iptables.conditions import Surroundings
from kproxy.inspect.rulesets.iptables.ipsets import IpSets
from kproxy.inspect.rulesets.iptables.saved import Rule, SavedTables
from kproxy.inspect.rulesets.iptables.targets import apply
from kproxy.inspect.rulesets.nft.ruleset import TableName
from kproxy.inspect.rulesets.packet import Packet
from kproxy.inspect.rulesets.routes import StaticRoutes
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.inspect.rulesets.understanding import NotUnderstoodError
from kproxy.inspect.trace.live.legacy_tracer import LegacyTold
from kproxy.inspect.trace.live.way import START, Met, Place, place
from kproxy.inspect.trace.report import Because, FateName, TraceStep
from kproxy.services.addresses import Family

_REFUSALS: dict[Verdict, FateName] = {Verdict.DROP: "dropped", Verdict.REJECT: "rejected"}
_TABLES_OF_NFT = {Family.IPV4: "ip", Family.IPV6: "ip6"}


class LegacyRules:
    """The rules of ip_tables, as a snapshot has them."""

    def __init__(self, snapshot: Snapshot | None, packet: Packet) -> None:
        self._packet = packet
        self._program, self._tables = _legacy(snapshot, packet.family)
        around = Surroundings(StaticRoutes(()), IpSets({}), {})
        self._places = {
            chain.name: place(chain.hook, chain.priority) for chain in base_chains(self._tables, self._program, around)
        }

    def met(self, told: Iterable[LegacyTold]) -> Iterator[Met]:
        """What was told of one packet; the ends of chains without a policy are left out."""
        at = START
        for each in told:
            at = self._places.get(f"{self._program} {each.table} {each.hook.name}", at)
            met = self._met(each, at)
            if met is not None:
                yield met

    def refusal(self, told: LegacyTold) -> FateName | None:
        """What a rule does, if it lets the packet go no further."""
        met = self._met(told, START)
        return met.refusal if met else None

    def _met(self, told: LegacyTold, at: Place) -> Met | None:
        where = f"{self._program} {told.table} {told.chain}"
        chain = self._tables.get(told.table, {}).get(told.chain)
        if chain is None:
            return Met(TraceStep("a rule that was not there before", None, where), at, None, told.header)
        if told.number > len(chain.rules):
            # The kernel ends every chain with a rule of its own: the policy, or a return.
            if chain.policy == "-":
                return None
            refusal: FateName | None = "dropped" if chain.policy == "DROP" else None
            return Met(TraceStep(f"policy {chain.policy}", None, where), at, refusal, told.header)
        rule = chain.rules[told.number - 1]
        effect, verdict = self._deed(rule, told)
        because = Because(rule.comment) if rule.comment else None
        return Met(TraceStep(effect, because, where, rule.text), at, _REFUSALS.get(verdict), told.header)

    def _deed(self, rule: Rule, told: LegacyTold) -> tuple[str, Verdict]:
        if rule.target == "RETURN":
            return "returns from the chain", Verdict.CONTINUE
        if rule.target in self._tables[told.table]:
            return f"{'goto' if rule.goto else 'jump'} {rule.target}", Verdict.CONTINUE
        packet = msgspec.structs.replace(self._packet, mark=told.mark)
        try:
            deed = apply(rule.target, rule.target_options, packet) if rule.target else None
        except (NotUnderstoodError, ValueError):
            return rule.target, Verdict.CONTINUE
        if deed is None or not deed.effect:
            return f"continue {rule.target}".strip(), Verdict.CONTINUE
        return deed.effect, deed.verdict or Verdict.CONTINUE


def _legacy(snapshot: Snapshot | None, family: Family) -> tuple[str, SavedTables]:
    """The program that shows the legacy rules, and what it shows."""
    command = COMMANDS[family]
    legacy = f"{command}-legacy"
    shown = snapshot.iptables.get(family, {}) if snapshot else {}
    if legacy in shown:
        return legacy, shown[legacy]
    nft = snapshot.nft.tables if snapshot and snapshot.nft else {}
    tables = shown.get(command, {})
    # Where only the default's name is there, it is the legacy one unless nf_tables has what it shows.
    if any(TableName(_TABLES_OF_NFT[family], table) in nft for table in tables):
        return legacy, {}
    return (command, tables) if tables else (legacy, {})
