"""A pod that reaches itself by way of a Service whose slice does not say on which node it is."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from kproxy.lab.expectation import Target, answered, failed
from kproxy.lab.kubernetes_objects import Manifest
from kproxy.lab.probe import Result
from kproxy.lab.scenario import Phase
from tests.inspect.trace.agreement import against_expectation, foreseen
from tests.inspect.trace.played import EMULATED, EVERYDAY, Patience, load
from tests.inspect.trace.programmed_node import programmed

TARGET = Target("pod-a", "10.96.20.2", 80, "TCP")
"""A Service whose only endpoint is the client."""
ANSWERED = answered("pod-a", 4, {"node": ["pod-a"]})


def without_node_names(phase: Phase) -> Phase:
    def anonymous(manifest: Manifest) -> Manifest:
        endpoints: list[dict[str, Any]] = manifest["endpoints"]
        return {
            **manifest,
            "endpoints": [{k: v for k, v in each.items() if k != "nodeName"} for each in endpoints],
        }

    manifests = {
        key: anonymous(manifest) if key[0] == "EndpointSlice" else manifest for key, manifest in phase.manifests.items()
    }
    return replace(phase, manifests=manifests, expect={TARGET: phase.expect[TARGET]})


async def hold(mode: str, *, answers: bool, patience: Patience = EVERYDAY) -> None:
    """Whether the pod answers itself, by packets and by both views."""
    expected = ANSWERED if answers else failed(Result.TIMEOUT)
    async with programmed(mode, patience=patience.answer) as (lab, node):
        read = await node.bring_about(without_node_names(load("clusterip", mode).phases[0]))
        met = await lab.probe(
            TARGET.client, TARGET.transport, TARGET.address, TARGET.port, None if answers else patience.silence
        )
        assert met.result is (Result.OK if answers else Result.TIMEOUT)
        (trace,) = (await asyncio.to_thread(read)).traces().values()
    assert not trace.disagreements
    for view in trace.views:
        assert not against_expectation(view, TARGET, expected, proxied=False)
        if answers:
            assert foreseen(view) == {(met.pod, met.source)}


@pytest.mark.root
@pytest.mark.parametrize(("mode", "answers"), [("iptables", True), ("nftables", False)])
async def test_only_iptables_mode_knows_every_endpoint(mode: str, *, answers: bool) -> None:
    await hold(mode, answers=answers)


@pytest.mark.ipvs
async def test_ipvs_mode_knows_those_of_this_node() -> None:
    await hold("ipvs", answers=False, patience=EMULATED)
