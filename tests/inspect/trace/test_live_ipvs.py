"""Probes in IPVS mode: its rules of iptables are told, in either variant, and its choice is known from the flow."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kproxy.backends.iptables.tool import Variant
from kproxy.lab.expectation import Target
from kproxy.lab.topology import NODE
from tests.inspect.trace.played import load
from tests.inspect.trace.programmed_node import Traced, programmed
from tests.inspect.trace.test_live_legacy import foreseen, live, loggers, met
from tests.iptables.test_variants import link_default

pytestmark = pytest.mark.ipvs

_ROWS = 2


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Traced]:
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))
    link_default(Variant.LEGACY, tmp_path, monkeypatch)
    async with programmed("ipvs") as (_, node):
        read = await node.bring_about(load("nodeport", "ipvs").phases[0])
        yield read()


def answering(node: Traced, client: str) -> list[Target]:
    return [target for target, row in node.expect.items() if target.client == client and row.answers][:_ROWS]


async def test_masquerading_rules_and_the_endpoint(node: Traced) -> None:
    before = loggers(node)
    async with node.lab.process("pod-x", ["sleep", "600"]):
        for target in answering(node, NODE.name) + answering(node, "pod-x"):
            answer = await live(node, target)
            actual, found = answer.view("actual"), answer.view("live")
            assert actual
            assert found
            assert not answer.disagreements, (target, answer.disagreements)
            assert found.outcomes[0].fate == "redirected"
            ways = [[rule for rule in way if rule[0].startswith("iptables-legacy")] for way in foreseen(actual, found)]
            assert met(found) in ways, (target, met(found), ways)
            assert any(rule[0] == "iptables-legacy nat KUBE-POSTROUTING" for rule in met(found))
    assert loggers(node) == before
