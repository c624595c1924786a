"""What the Services alone say, against what real packets met under the stock kube-proxy in each mode."""

import pytest

from kproxy.inspect.trace.desired_view import Explainer
from kproxy.inspect.trace.report import View
from kproxy.services.addresses import parse_address
from tests.inspect import lab_node
from tests.inspect.diff.states import desired
from tests.inspect.rulesets.stock import Row, recordings
from tests.inspect.rulesets.test_stock_rules import known_otherwise
from tests.iptables.kernel_state import DUMPS, manifest

RESULTS = {
    "dropped": {"timeout"},
    "rejected": {"rejected"},
    "local": {"rejected"},  # nothing listens there
    "unchanged": {"timeout", "rejected"},
}


def contradiction(row: Row, view: View) -> str:
    fates = {outcome.fate for outcome in view.outcomes}
    if fates == {"redirected"}:
        if all(outcome.warning for outcome in view.outcomes):
            return "" if row.result == ["timeout"] else "answers come"
        if row.result != ["ok"]:
            return "no answer"
        if any(pod.endswith(" pod") for pod in row.pods):
            return ""
        addresses = (parse_address(outcome.endpoint.rpartition(":")[0].strip("[]")) for outcome in view.outcomes)
        pods = {lab_node.POD_AT[address] for address in addresses if address}
        sources = {outcome.source for outcome in view.outcomes}
        return "" if (pods, sources) == (set(row.pods), set(row.sources)) else f"{pods} see {sources}"
    allowed = {result for fate in fates for result in RESULTS[fate]}
    if ":" in row.address and "rejected" in allowed:
        allowed.add("timeout")  # that kernel did not deliver ICMPv6 rejections
    if row.client == "node" and row.protocol == "UDP" and "timeout" in allowed:
        allowed.add("rejected")  # a local sender is told that its datagram was dropped
    return "" if set(row.result) <= allowed else f"{fates}"


@pytest.mark.parametrize("mode", ["nftables", "iptables", "ipvs"])
def test_the_services_tell_what_packets_meet(mode: str) -> None:
    wrong, rows = [], 0
    for recording in recordings(mode):
        scenario, _, phase = recording.name.partition(".")
        if phase != "initial" or not (DUMPS / f"{scenario}.yaml").exists():
            continue
        state = desired(manifest(scenario), mode)
        way = lab_node.routes(recording.virtual)
        explainer = Explainer(state, mode, way)
        for row in recording.rows:
            if known_otherwise(recording, row):
                continue
            destination = parse_address(row.address)
            assert destination is not None
            view = explainer.view(lab_node.packet(row.client, destination, row.port, row.protocol, way))
            assert sum(outcome.probability for outcome in view.outcomes) == pytest.approx(1.0)
            rows += 1
            if words := contradiction(row, view):
                wrong.append(f"{recording} {row}: {words}")
    assert not wrong
    assert rows > 300


@pytest.mark.parametrize(
    ("scenario", "client", "address", "port", "fate", "field"),
    [
        ("loadbalancer", "ext", "198.51.100.3", 80, "dropped", "spec.externalTrafficPolicy"),
        ("loadbalancer", "ext", "198.51.100.4", 80, "dropped", "spec.loadBalancerSourceRanges"),
        ("internalpolicy", "pod-x", "10.96.4.2", 80, "dropped", "spec.internalTrafficPolicy"),
        ("clusterip", "pod-x", "10.96.0.10", 7, "rejected", "spec.ports"),
    ],
)
def test_a_refusal_names_the_field(scenario: str, client: str, address: str, port: int, fate: str, field: str) -> None:
    state = desired(manifest(scenario), "nftables")
    way = lab_node.routes()
    destination = parse_address(address)
    assert destination is not None
    view = Explainer(state, "nftables", way).view(lab_node.packet(client, destination, port, "TCP", way))
    (outcome,) = view.outcomes
    assert outcome.fate == fate
    assert outcome.because is not None
    assert outcome.because.object.startswith("Service default/")
    assert outcome.because.field == field
