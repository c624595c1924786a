from pathlib import Path

import msgspec
import pytest

from kproxy.lab.kubernetes_objects import endpoint_slices, nodes, service
from kproxy.lab.probe import Result
from kproxy.lab.runner import SCENARIOS
from kproxy.lab.scenario import Expectation, ScenarioError, Target, load_scenario
from kproxy.services.objects import EndpointSlice, Node, Service

MINIMAL = """
about: a test
services:
  web: {spec: {clusterIP: 10.96.0.1, ports: [{port: 80, targetPort: 8080}]}, slices: [[pod-a, pod-c]]}
expect:
"""


def load(tmp_path: Path, text: str, mode: str = "nftables") -> dict[Target, Expectation]:
    path = tmp_path / "test.yaml"
    path.write_text(text)
    return load_scenario(path, mode).phases[-1].expect


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_projects_scenarios_are_sound(path: Path) -> None:
    scenario = load_scenario(path, "nftables")
    for phase in scenario.phases:
        services = {}
        for name, definition in phase.services.items():
            services[name] = msgspec.convert(service(name, definition), Service)
            for manifest in endpoint_slices(name, definition):
                slice_ = msgspec.convert(manifest, EndpointSlice)
                assert {port.name for port in slice_.ports or []} == {p.name for p in services[name].spec.ports or []}
        assert phase.expect
        assert len({each.spec.cluster_ip for each in services.values()}) == len(services)


def test_sources_are_those_a_pod_would_see(tmp_path: Path) -> None:
    table = load(
        tmp_path,
        MINIMAL
        + "- [pods node, 10.96.0.1, 80/TCP, {own: [pod-a, pod-c]}]\n- [ext, 10.96.0.1, 80/TCP, {node: [pod-a, pod-c]}]",
    )
    answers = {target.client: expected.answers for target, expected in table.items()}
    towards_pods = {("pod-a", "10.244.1.1"), ("pod-c", "192.168.77.2")}
    assert answers["pod-x"] == {("pod-a", "10.244.1.50"), ("pod-c", "10.244.1.50")}
    assert answers["pod-a"] == {("pod-a", "10.244.1.1"), ("pod-c", "10.244.1.10")}
    assert answers["node"] == towards_pods
    assert answers["ext"] == towards_pods


def test_rows_can_be_for_some_modes_only(tmp_path: Path) -> None:
    text = MINIMAL + "- [all, 10.96.0.1, 7/TCP, rejected, nftables ipvs]"
    assert len(load(tmp_path, text)) == 5
    assert not load(tmp_path, text, mode="iptables")


def test_a_step_changes_what_it_names_and_keeps_the_rest(tmp_path: Path) -> None:
    text = (
        MINIMAL
        + "- [ext, 10.96.0.1, 80/TCP, {node: [pod-a, pod-c]}]\n- [ext, 10.96.0.2, 80/TCP, timeout]\n"
        + "steps:\n- {name: drain, services: {web: {slices: []}}, expect: [[ext, 10.96.0.1, 80/TCP, rejected]]}"
    )
    assert load(tmp_path, text) == {
        Target("ext", "10.96.0.1", 80, "TCP"): Expectation(failures=frozenset([Result.REJECTED])),
        Target("ext", "10.96.0.2", 80, "TCP"): Expectation(failures=frozenset([Result.TIMEOUT])),
    }
    phases = load_scenario(tmp_path / "test.yaml", "nftables").phases
    assert [len(phase.services["web"].slices) for phase in phases] == [1, 0]
    assert phases[1].services["web"].spec == phases[0].services["web"].spec


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("- [pod-q, 10.96.0.1, 80/TCP, rejected]", "unknown clients"),
        ("- [ext, 10.96.0.1, 80/SCTP, rejected]", "unknown protocol"),
        ("- [ext, 10.96.0.256, 80/TCP, rejected]", "10.96.0.256"),
        ("- [ext, 10.96.0.1, http/TCP, rejected]", "http"),
        ("- [ext, 10.96.0.1, 80, rejected]", "row"),
        ("- [ext, 10.96.0.1, 80/TCP, refused]", "refused"),
        ("- [ext, 10.96.0.1, 80/TCP, {node: [pod-q]}]", "pod-q"),
        ("- [ext, 10.96.0.1, 80/TCP, {ext: [pod-a]}]", "ext"),
        ("- [all ext, 10.96.0.1, 80/TCP, rejected]", "second row"),
        ("[]\nexpected: []", "expected"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, rows: str, complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        load(tmp_path, MINIMAL + rows)


def test_the_labs_nodes_are_kubernetes_nodes() -> None:
    node, peer = (msgspec.convert(each, Node) for each in nodes())
    assert node.spec.pod_cidrs == ["10.244.1.0/24", "fd00:10:244:1::/64"]
    assert (node.metadata.labels or {})["topology.kubernetes.io/zone"] == "a"
    assert (peer.metadata.labels or {})["topology.kubernetes.io/zone"] == "b"
