"""Probes in the lab: what the kernel tells of their way, and that nothing of them stays."""

import asyncio
import subprocess
from collections.abc import AsyncIterator

import pytest

from kproxy.inspect.output import InspectionError
from kproxy.inspect.trace.live.probe import probe
from kproxy.inspect.trace.report import View
from kproxy.lab.expectation import Target
from kproxy.lab.topology import NODE
from tests.inspect.trace.played import load
from tests.inspect.trace.programmed_node import Traced, programmed

pytestmark = pytest.mark.root


@pytest.fixture(params=["nftables", "iptables"])
async def node(request: pytest.FixtureRequest) -> AsyncIterator[Traced]:
    async with programmed(request.param) as (_, node):
        read = await node.bring_about(load("loadbalancer", request.param).phases[0])
        yield read()


async def live(node: Traced, target: Target) -> View:
    packet = node.packet(target)
    inside = node.lab.namespace(NODE.name)
    # A thread: the pods' servers run on this event loop.
    return await asyncio.to_thread(inside.run, lambda: probe(packet, node.facts.snapshot))


def ruleset(node: Traced) -> str:
    command = ["nft", "list", "ruleset"]
    return node.lab.namespace(NODE.name).run(lambda: subprocess.run(command, capture_output=True, text=True).stdout)


async def test_a_probe_from_the_node_goes_the_way_that_the_views_foresee(node: Traced) -> None:
    seen = 0
    for target in node.expect:
        if target.client != NODE.name:
            continue
        found = await live(node, target)
        both = node.views.trace(node.packet(target), found)
        assert not both.disagreements, (target, both.disagreements, found)
        seen += 1
    assert seen


async def test_probes_from_elsewhere(node: Traced) -> None:
    target = next(
        t for t, e in node.expect.items() if t.client == "pod-x" and e.answers and t.address.startswith("10.96.")
    )
    async with node.lab.process("pod-x", ["sleep", "60"]):
        found = await live(node, target)
    assert found.outcomes[0].fate == "redirected"
    assert found.outcomes[0].source == "10.244.1.50"
    assert any(step.rule and "dnat" in step.rule.lower() for step in found.steps)
    assert not node.views.trace(node.packet(target), found).disagreements
    assert "kproxy-trace" not in ruleset(node)
    with pytest.raises(InspectionError, match="neither"):
        await live(node, next(t for t in node.expect if t.client == "ext"))
