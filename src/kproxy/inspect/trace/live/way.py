"""The rules that a probe met, of whatever rule-set, in one order."""

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kproxy.inspect.rulesets.nft.ruleset import TableName
from kproxy.inspect.rulesets.packet import Hook
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.inspect.trace.live.headers import Header
from kproxy.inspect.trace.live.rule_texts import RuleTexts
from kproxy.inspect.trace.live.tracer import Told
from kproxy.inspect.trace.report import Because, FateName, TraceStep

_ORDER = {hook: number for number, hook in enumerate(Hook)}


class Place(NamedTuple):
    """When chains are asked, compared with others on a packet's way."""

    hook: int
    priority: int


START = Place(-1, 0)


class Met(NamedTuple):
    """A rule, or the policy of a chain."""

    step: TraceStep
    place: Place
    """Of the base chain that it was called from."""
    refusal: FateName | None = None
    """What it did, if it let the packet go no further."""
    header: Header | None = None
    """Of the packet as it came there, if it was told."""


def place(hook: Hook, priority: int) -> Place:
    return Place(_ORDER[hook], priority)


def merged(*ways: Iterable[Met]) -> list[Met]:
    """Put what several rule-sets told of one packet into one order; each keeps its own."""
    return list(heapq.merge(*ways, key=lambda met: met.place))


def of_nf_tables(told: Iterable[Told], texts: RuleTexts, snapshot: Snapshot | None) -> Iterator[Met]:
    """What nf_tables told of one packet; the ends of chains without a policy are left out."""
    tables = snapshot.nft.tables if snapshot and snapshot.nft else {}
    at = START
    for each in told:
        table = tables.get(TableName(each.family, each.table))
        attachment = table.attachments.get(each.chain) if table else None
        if attachment is not None:
            at = place(attachment.hook, attachment.priority)
        if each.handle or each.policy:
            yield Met(_step(each, texts), at, _refusal(each, texts), each.header)


def _refusal(told: Told, texts: RuleTexts) -> FateName | None:
    if told.verdict != "drop":
        return None
    return "rejected" if texts.rejects(told) else "dropped"


def _step(told: Told, texts: RuleTexts) -> TraceStep:
    where = f"{told.family} {told.table} {told.chain}"
    effect = f"{told.verdict} {told.target}".strip()
    if told.policy:
        return TraceStep(f"policy {effect}", None, where)
    comment = texts.comment(told)
    return TraceStep(effect, Because(comment) if comment else None, where, texts.text(told))
