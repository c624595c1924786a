"""The stock kube-proxy's rules, evaluated, against what real packets met under them."""

import pytest

from kproxy.inspect.rulesets.netfilter import Fate, Outcome, all_doubts, traverse
from kproxy.services.addresses import format_address, parse_address
from tests.inspect import lab_node
from tests.inspect.rulesets.stock import Recording, Row, recordings

# Source ranges: that node's kernel had lost these rules when they were saved.
RULES_NOT_SAVED = {"198.51.100.4", "198.51.100.5"}


def foreseen(recording: Recording, row: Row) -> list[Outcome]:
    way = lab_node.routes(recording.virtual)
    destination = parse_address(row.address)
    assert destination is not None
    bridged = recording.mode == "ipvs"  # that recording was made with br_netfilter
    packet = lab_node.packet(row.client, destination, row.port, row.protocol, way, bridged=bridged)
    return traverse(packet, list(recording.snapshot.chains(packet.family, way)), way)


def difference(row: Row, outcomes: list[Outcome]) -> str:
    """How a recorded row contradicts what was foreseen; empty when it does not."""
    assert sum(outcome.probability for outcome in outcomes) == pytest.approx(1.0)
    fates = {outcome.fate for outcome in outcomes}
    if fates == {Fate.REDIRECTED}:
        if all(outcome.answers_bypass for outcome in outcomes):
            return "" if row.result == ["timeout"] else "answers come although they bypass the node"
        if row.result != ["ok"]:
            return "no answer"
        if any(pod.endswith(" pod") for pod in row.pods):
            return ""
        pods = {lab_node.POD_AT[outcome.branch.packet.destination] for outcome in outcomes}
        sources = {format_address(outcome.source) for outcome in outcomes if outcome.source}
        if pods != set(row.pods):
            return f"foreseen {pods}"
        return "" if sources == set(row.sources) else f"foreseen sources {sources}"
    expected = {
        Fate.DROPPED: {"timeout"},
        Fate.REJECTED: {"rejected"},
        Fate.LOCAL: {"rejected"},  # nothing listens there
        Fate.UNCHANGED: {"timeout", "rejected"},
    }
    allowed = {result for fate in fates for result in expected.get(fate, set())}
    if ":" in row.address and "rejected" in allowed:
        allowed.add("timeout")  # that kernel did not deliver ICMPv6 rejections
    if row.client == "node" and row.protocol == "UDP" and "timeout" in allowed:
        allowed.add("rejected")  # a local sender is told that its datagram was dropped
    return "" if set(row.result) <= allowed else f"foreseen {fates}"


def known_otherwise(recording: Recording, row: Row) -> bool:
    if recording.mode != "ipvs":
        return False
    # Of IPv6, no rules were saved. The node sends to an address of its own with that address, which no peer answers.
    return ":" in row.address or row.address in RULES_NOT_SAVED or (row.client, row.address) == ("node", "198.51.100.3")


@pytest.mark.parametrize("mode", ["nftables", "iptables", "ipvs"])
def test_rules_are_evaluated_as_the_kernel_does(mode: str) -> None:
    wrong, rows = [], 0
    for recording in recordings(mode):
        for row in recording.rows:
            if known_otherwise(recording, row):
                continue
            rows += 1
            outcomes = foreseen(recording, row)
            doubts = all_doubts(outcomes)
            if doubts or (words := difference(row, outcomes)):
                wrong.append(f"{recording} {row}: {doubts or words}")
    assert not wrong
    assert rows == {"nftables": 700, "iptables": 700, "ipvs": 658}[mode]


@pytest.mark.parametrize("mode", ["nftables", "iptables", "ipvs"])
def test_probabilities_are_even(mode: str) -> None:
    recording = next(r for r in recordings(mode) if r.name == "clusterip.initial")
    checked = 0
    for row in recording.rows:
        if row.result == ["ok"]:
            outcomes = foreseen(recording, row)
            assert [o.probability for o in outcomes] == pytest.approx([1 / len(outcomes)] * len(outcomes), abs=1e-6)
            checked += len(outcomes) > 1
    assert checked
