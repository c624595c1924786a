"""Evaluates chains of nftables: what becomes of a packet, rule by rule (nft(8), net/netfilter/nf_tables_core.c)."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kproxy.inspect.rulesets.branch import Branch, Doubt, Step, Verdict, merged
from kproxy.inspect.rulesets.netfilter import BaseChain, ChainKind
from kproxy.inspect.rulesets.nft.actions import Action, act
from kproxy.inspect.rulesets.nft.comparison import matches
from kproxy.inspect.rulesets.nft.expressions import OtherProtocolError, Surroundings, evaluate, look_up
from kproxy.inspect.rulesets.nft.ruleset import Attachment, Rule, Ruleset, Table
from kproxy.inspect.rulesets.packet import Hook, Packet
from kproxy.inspect.rulesets.routes import Routes
from kproxy.inspect.rulesets.understanding import NotUnderstoodError
from kproxy.services.addresses import Family

_DEEPEST = 16
"""Jumps within jumps (NFT_JUMP_STACK_SIZE)."""
_ROUNDING = 1e-9
_NO_EFFECT = frozenset({"counter", "log", "limit", "comment", "quota", "last"})
_LIMITS = frozenset({"limit", "quota"})
"""Taken not to be used up by others' packets."""


def base_chains(ruleset: Ruleset, family: Family, routes: Routes) -> Iterator[BaseChain]:
    """The chains that hooks call for packets of a family; tables of iptables-nft are left to its own evaluator."""
    for table in ruleset.tables.values():
        if table.serves(family) and not table.by_iptables:
            for name, attachment in table.attachments.items():
                yield _NftBaseChain(table, name, attachment, routes)


class _NftBaseChain:
    """Implements `kproxy.inspect.rulesets.netfilter.BaseChain`."""

    def __init__(self, table: Table, name: str, attachment: Attachment, routes: Routes) -> None:
        self._evaluator = _Evaluator(table, Surroundings(table.sets, routes), attachment.hook)
        self._chain, self._policy = name, attachment.policy
        self.hook: Hook = attachment.hook
        self.priority: int = attachment.priority
        self.kind: ChainKind = attachment.kind
        self.name = f"{table.name} {name}"

    def run(self, branch: Branch) -> list[Branch]:
        results = self._evaluator.chain(self._chain, branch, 0)
        if self._policy != "drop":
            return results
        dropped = Step(self.name, "policy drop", "dropped")
        return [r.after(dropped).with_verdict(Verdict.DROP) if r.verdict is Verdict.CONTINUE else r for r in results]


class _Left(NamedTuple):
    """What a rule did with some branches."""

    onwards: list[Branch]
    """They go on to the chain's next rule."""
    done: list[Branch]
    """They leave the chain."""


class _Evaluator:
    """The chains of one table, called from one hook."""

    def __init__(self, table: Table, around: Surroundings, hook: Hook) -> None:
        self.table, self.around, self.hook = table, around, hook

    def chain(self, name: str, branch: Branch, depth: int) -> list[Branch]:
        """Where the packet gets in a chain and those below it: a verdict, or `CONTINUE` at its end."""
        rules = self.table.chains.get(name)
        if rules is None or depth > _DEEPEST:
            reason = "is not there" if rules is None else "is nested too deep"
            return [branch.doubting(Doubt(f"{self.table.name}", f"chain {name}", reason))]
        live, finished = [branch], list[Branch]()
        for rule in rules:
            onwards: list[Branch] = []
            for each in live:
                left = self.rule(name, rule, each, depth)
                onwards += left.onwards
                finished += left.done
            live = merged(onwards) if len(onwards) > 1 else onwards
            if not live:
                break
        return merged([*finished, *live])

    def rule(self, chain: str, rule: Rule, branch: Branch, depth: int) -> _Left:
        """Run one rule, statement by statement; one that does not hold ends it for its branch."""
        left = _Left([], [])
        inside = [branch]
        for number, statement in enumerate(rule.statements, 1):
            following: list[Branch] = []
            for each in inside:
                try:
                    following += self._statement(chain, rule, statement, each, depth, left)
                except NotUnderstoodError as error:
                    doubt = Doubt(f"{self.table.name} {chain}", rule.text, str(error))
                    matters = not _decides_nothing(rule) and self._may_pass(rule.statements[number:], each.packet)
                    left.onwards.append(each.doubting(doubt) if matters else each)
                except OtherProtocolError:
                    left.onwards.append(each)
            inside = following
        left.onwards.extend(inside)
        return left

    def _may_pass(self, statements: Sequence[Any], packet: Packet) -> bool:
        """Whether what is understood of a rule's statements lets a packet pass."""
        for statement in statements:
            try:
                name, body = _named(statement)
                if name == "match" and not matches(body, packet, self.around):
                    return False
            except NotUnderstoodError:
                continue
            except OtherProtocolError:
                return False
        return True

    def _statement(
        self, chain: str, rule: Rule, statement: Any, branch: Branch, depth: int, left: _Left
    ) -> Sequence[Branch]:
        """Those branches that go on to the rule's next statement; the others are put where they have left to."""
        name, body = _named(statement)
        if name in _LIMITS and isinstance(body, dict) and body.get("inv"):
            left.onwards.append(branch)
            return []
        if name in _NO_EFFECT:
            return [branch]
        if name == "match":
            probability = matches(body, branch.packet, self.around)
            if probability < 1.0:
                left.onwards.append(branch.weighted(1.0 - probability)) if probability else left.onwards.append(branch)
            return [branch.weighted(probability)] if probability else []
        if name == "vmap":
            return self._verdict_map(chain, rule, body, branch, depth, left)
        if name in ("accept", "drop", "return", "continue", "jump", "goto"):
            return self._verdict(chain, rule, statement, branch, depth, left, "")
        actions = act(name, body, branch, self.around)
        missed = 1.0 - sum(action.probability for action in actions)
        if missed > _ROUNDING:
            left.onwards.append(branch.weighted(missed))
        return [r for action in actions if (r := self._acted(chain, rule, action, branch, left)) is not None]

    def _acted(self, chain: str, rule: Rule, action: Action, branch: Branch, left: _Left) -> Branch | None:
        result = branch.weighted(action.probability)
        if action.changes:
            result = result.with_packet(**action.changes)
        if action.effect:
            where = f"{self.table.name} {chain}"
            result = result.after(Step(where, rule.text, action.effect, action.about or rule.comment))
        if action.verdict is not None:
            left.done.append(result.with_verdict(action.verdict))
            return None
        return result

    def _verdict_map(
        self, chain: str, rule: Rule, body: Any, branch: Branch, depth: int, left: _Left
    ) -> Sequence[Branch]:
        inside: list[Branch] = []
        missed = 0.0
        for drawn in evaluate(body["key"], branch.packet, self.around):
            _, element = look_up(drawn, body["data"], self.around)
            if element is None:
                missed += drawn.probability
                continue
            weighted = branch.weighted(drawn.probability)
            inside += self._verdict(chain, rule, element.data, weighted, depth, left, element.comment)
        if missed > _ROUNDING:
            left.onwards.append(branch.weighted(missed))
        return inside

    def _verdict(
        self, chain: str, rule: Rule, verdict: Any, branch: Branch, depth: int, left: _Left, comment: str
    ) -> Sequence[Branch]:
        name, body = _named(verdict)
        target = body.get("target", "") if isinstance(body, dict) else ""
        effect = f"{name} {target}".strip()
        step = Step(f"{self.table.name} {chain}", rule.text, _PAST.get(name, effect), comment or rule.comment)
        match name:
            case "accept":
                left.done.append(branch.after(step).with_verdict(Verdict.ACCEPT))
            case "drop":
                left.done.append(branch.after(step).with_verdict(Verdict.DROP))
            case "return":
                left.done.append(branch)
            case "continue":
                return [branch]
            case "jump":
                results = self.chain(target, branch.after(step), depth + 1)
                left.done.extend(r for r in results if r.verdict is not Verdict.CONTINUE)
                return [r for r in results if r.verdict is Verdict.CONTINUE]
            case "goto":
                left.done.extend(self.chain(target, branch.after(step), depth + 1))
            case _:
                raise NotUnderstoodError(f"the verdict {name}")
        return []


def _decides_nothing(rule: Rule) -> bool:
    """Whether no packet's way depends on a rule, whatever its matches mean."""
    try:
        return {_named(statement)[0] for statement in rule.statements} <= _NO_EFFECT | {"match"}
    except NotUnderstoodError:
        return False


_PAST = {"accept": "accepted", "drop": "dropped"}


def _named(statement: Any) -> tuple[str, Any]:
    """A statement's name and body. Those without JSON form come as nft's text: updates of maps."""
    if isinstance(statement, str):
        return statement.partition(" ")[0], statement
    if isinstance(statement, dict) and len(statement) == 1:
        ((name, body),) = statement.items()
        return str(name), body
    raise NotUnderstoodError(f"the statement {statement!r}")
