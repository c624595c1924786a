"""Traces made inside the lab's node, against what real packets meet there."""

from collections.abc import Iterable

import pytest

from kproxy.inspect.trace.report import Trace
from kproxy.lab.expectation import Expectation, Target, failed
from kproxy.lab.probe import Result
from kproxy.lab.runner import SCENARIOS
from kproxy.lab.topology import NODE
from kproxy.services.addresses import parse_address
from tests.inspect.lab_node import POD_AT
from tests.inspect.trace.traced_lab import traced

# What they expect of other ports and of loopback holds in nftables mode.
SHARED = ("clusterip", "nodeport", "externalip", "loadbalancer", "policies", "terminating", "topology", "sourceranges")


def contradiction(found: Trace, expected: Expectation, target: Target) -> str:
    """How a view contradicts what packets meet; empty when none does."""
    for view in found.views:
        if view.confidence != "high":
            return f"{view.name}: {view.not_understood}"
        fates = {outcome.fate for outcome in view.outcomes}
        if expected.answers:
            answers = {
                (POD_AT.get(parse_address(o.endpoint.rpartition(":")[0].strip("[]")) or b"", o.endpoint), o.source)
                for o in view.outcomes
            }
            if fates != {"redirected"} or answers != expected.answers:
                return f"{view.name}: {fates} {answers}"
            continue
        refused = {"rejected": {"rejected", "local", "unchanged"}, "timeout": {"dropped", "unchanged"}}
        allowed = {fate for failure in expected.failures for fate in refused[failure.value]}
        if target.client == NODE.name and target.transport == "UDP" and "rejected" in allowed:
            allowed.add("dropped")  # a local sender is told
        if not fates <= allowed:
            return f"{view.name}: {fates}, not {expected.failures}"
    return "; ".join(found.disagreements)


# The scenarios describe nftables mode. In iptables mode, as with kube-proxy's, a Service without endpoints is refused
# before its source ranges are looked at.
IPTABLES_DIFFERS = {("ext", "198.51.100.69")}


async def check(scenarios: Iterable[str], mode: str) -> int:
    async with traced(scenarios, mode) as node:
        wrong = []
        for target, expected in node.expect.items():
            if mode == "iptables" and (target.client, target.address) in IPTABLES_DIFFERS:
                expected = failed(Result.REJECTED)
            found = node.trace(target)
            if words := contradiction(found, expected, target):
                wrong.append(f"{target}: {words}")
        assert not wrong
        return len(node.expect)


@pytest.mark.root
async def test_nftables() -> None:
    assert await check([path.stem for path in SCENARIOS.glob("*.yaml")], "nftables") > 900


@pytest.mark.root
async def test_iptables() -> None:
    assert await check(SHARED, "iptables") > 400
