"""Probes where iptables-legacy has the rules: the kernel tells the way that the actual view foresees, rule by rule."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from kproxy.backends.iptables.tool import Variant
from kproxy.inspect.trace.live import probe as probing
from kproxy.inspect.trace.report import Trace, View
from kproxy.kernel.nflog.loggers import read_logger
from kproxy.lab.expectation import Target
from kproxy.lab.probe import Result
from kproxy.lab.topology import NODE
from kproxy.services.addresses import Family
from tests.inspect.trace.played import chosen, load
from tests.inspect.trace.programmed_node import Traced, programmed
from tests.inspect.trace.test_live import ruleset
from tests.iptables.test_variants import link_default

pytestmark = pytest.mark.root

Rule = tuple[str, str, str]
"""Where it is, its text, and what it did."""
SCENARIOS = chosen("dualstack", "sourceranges")
PODS = ("pod-a", "pod-x")
MOST_FROM_PODS = 12


@pytest.fixture(params=SCENARIOS)
async def read(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[], Traced]]:
    """Reads the rules of a node, as they are."""
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))
    monkeypatch.setattr(probing, "_PATIENCE", 1.5)  # a SYN is sent again after a second
    link_default(Variant.LEGACY, tmp_path, monkeypatch)
    async with programmed("iptables") as (_, node):
        yield await node.bring_about(load(request.param, "iptables").phases[0])


def loggers(node: Traced) -> list[str]:
    return node.lab.namespace(NODE.name).run(lambda: [read_logger(family) for family in Family])


async def live(node: Traced, target: Target) -> Trace:
    """What the views say beside what a probe met."""
    packet = node.packet(target)
    inside = node.lab.namespace(NODE.name)
    # A thread: the pods' servers run on this event loop.
    found = await asyncio.to_thread(inside.run, lambda: probing.probe(packet, node.facts.snapshot))
    return inside.run(lambda: node.views.trace(packet, found))


def met(view: View) -> list[Rule]:
    """The rules that the probe met, but for policies and those that do nothing, which the evaluation passes over."""
    passed_over = ("policy ", "continue")
    return [(step.where, step.rule, step.text) for step in view.steps if not step.text.startswith(passed_over)]


def foreseen(actual: View, found: View) -> list[list[Rule]]:
    """The ways by which the evaluation comes to what the probe came to."""
    end = found.outcomes[0]
    return [
        [(step.where, step.rule, step.text) for step in (*actual.steps, *outcome.steps)]
        for outcome in actual.outcomes
        if (outcome.fate, outcome.endpoint) == (end.fate, end.endpoint)
    ]


def contradiction(answer: Trace) -> str:
    """Where the probe met other rules than were foreseen; empty when it did not."""
    actual, found = answer.view("actual"), answer.view("live")
    assert actual
    assert found
    ways, told = foreseen(actual, found), met(found)
    # What a node sends to itself comes in again, which the live view leaves out unless it is refused then.
    comes_in_again = answer.source == "node"
    fits = any(told == way or (told and comes_in_again and way[: len(told)] == told) for way in ways)
    return "" if fits else f"{found.steps} {found.notes} where {ways} was foreseen"


async def test_every_rule_that_is_foreseen_is_told(read: Callable[[], Traced]) -> None:
    node = read()
    remembering = any(row.sticky for row in node.expect.values())
    before = loggers(node)
    from_pods = [target for target in node.expect if target.client in PODS]
    targets = [target for target in node.expect if target.client == NODE.name]
    targets += from_pods[:: len(from_pods) // MOST_FROM_PODS + 1]
    async with node.lab.process("pod-a", ["sleep", "600"]), node.lab.process("pod-x", ["sleep", "600"]):
        for target in targets:
            answer = await live(node, target)
            assert not answer.disagreements, (target, answer.disagreements)
            assert not (wrong := contradiction(answer)), (target, wrong)
            if remembering:  # a probe is a client like any other
                node = read()
    assert loggers(node) == before
    assert "kproxy-trace" not in ruleset(node)


def test_what_is_probed_has_refusals_both_families_and_datagrams() -> None:
    rows = [item for name in SCENARIOS for item in load(name, "iptables").phases[0].expect.items()]
    asked = {(target.transport, ":" in target.address) for target, _ in rows if target.client == NODE.name}
    assert asked == {("TCP", False), ("TCP", True), ("UDP", False), ("UDP", True)}
    refused = {failure for target, row in rows if target.client == NODE.name for failure in row.failures}
    assert refused == {Result.REJECTED, Result.TIMEOUT}
