from pathlib import Path

import msgspec
import pytest

from kproxy.lab.expectation import Expectation, Target
from kproxy.lab.kubernetes_objects import endpoint_slices, nodes, service
from kproxy.lab.probe import Result
from kproxy.lab.runner import SCENARIOS
from kproxy.lab.scenario import ScenarioError, load_scenario
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


def test_a_row_that_names_modes_replaces_one_that_names_none(tmp_path: Path) -> None:
    text = MINIMAL + (
        "- [node, 203.0.113.1, 80/TCP, {asked: [pod-a]}, ipvs]\n- [node, 203.0.113.1, 80/TCP, {node: [pod-c]}]\n"
        "- [node, '2001:DB8::1', 80/TCP, {asked: [pod-a]}, ipvs]\n"
    )
    ipv4, ipv6 = (Target("node", address, 80, "TCP") for address in ("203.0.113.1", "2001:DB8::1"))
    assert load(tmp_path, text, mode="ipvs") == {
        ipv4: Expectation(frozenset([("pod-a", "203.0.113.1")])),
        ipv6: Expectation(frozenset([("pod-a", "2001:db8::1")])),
    }
    assert load(tmp_path, text, mode="nftables") == {ipv4: Expectation(frozenset([("pod-c", "192.168.77.2")]))}


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


def test_one_pod_for_all_requests_can_be_asked_for(tmp_path: Path) -> None:
    table = load(tmp_path, MINIMAL + "- [pod-x, 10.96.0.1, 80/TCP, {sticky: {own: [pod-a, pod-c]}}]")
    (expected,) = table.values()
    assert expected.sticky
    assert expected.answers == {("pod-a", "10.244.1.50"), ("pod-c", "10.244.1.50")}


def test_nodes_addresses_and_configuration_change_by_patches(tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    path.write_text(
        MINIMAL
        + " []\n"
        + """
nodes: {node: {metadata: {labels: {topology.kubernetes.io/zone: b}}}}
addresses: {192.168.77.9/24: eth0, 'fd00:77::9/64': eth0}
config: {detectLocalMode: NodeCIDR}
steps:
- name: further
  nodes: {node: {spec: {podCIDRs: null}}}
  addresses: {192.168.77.9/24: null}
  config: {clusterCIDR: ''}
  expect: []
- {name: back, nodes: {node: {metadata: {labels: {topology.kubernetes.io/zone: null}}}}, expect: []}
"""
    )
    first, further, back = load_scenario(path, "nftables").phases
    zones = [
        phase.manifests["Node", "node"]["metadata"]["labels"].get("topology.kubernetes.io/zone")
        for phase in (first, further, back)
    ]
    assert zones == ["b", "b", None]
    assert "podCIDRs" in first.manifests["Node", "node"]["spec"]
    assert "podCIDRs" not in back.manifests["Node", "node"]["spec"]
    assert {str(address) for address in first.addresses} == {"192.168.77.9/24", "fd00:77::9/64"}
    assert {str(address): link for address, link in back.addresses.items()} == {"fd00:77::9/64": "eth0"}
    assert back.config == {"detectLocalMode": "NodeCIDR", "clusterCIDR": ""}


def test_ports_and_slices_have_short_forms(tmp_path: Path) -> None:
    path = tmp_path / "test.yaml"
    path.write_text("""
about: a test
services:
  web:
    spec:
      clusterIP: 10.96.0.1
      ports: [{port: 8000-8002, targetPort: 8080}, {name: named, port: 80, targetPort: named}]
    slices: [{endpoints: [pod-a], targetPorts: {named: 7001}}]
objects:
  other: {apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: FQDN, endpoints: []}
expect: []
""")
    (phase,) = load_scenario(path, "nftables").phases
    ports = phase.manifests["Service", "web"]["spec"]["ports"]
    assert [(port["name"], port["port"]) for port in ports] == [
        ("p8000", 8000), ("p8001", 8001), ("p8002", 8002), ("named", 80),
    ]  # fmt: skip
    assert [port["port"] for port in phase.manifests["EndpointSlice", "web-ipv4-1"]["ports"]] == [8080] * 3 + [7001]
    assert phase.manifests["EndpointSlice", "other"]["metadata"] == {"namespace": "default", "name": "other"}


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
        ("- [ext, 10.96.0.1, 80/TCP, rejected, nftables]\n" * 2, "second row"),
        ("- [ext, 10.96.0.1, 80/TCP, {sticky: {}}]", "no answer"),
        ("- [ext, 10.96.0.1, 80/TCP, {sticky: {own: [pod-a]}, node: [pod-c]}]", "no answer"),
        (" []\naddresses: {192.168.77.300/24: eth0}", "192.168.77.300"),
        (" []\nexpected: []", "expected"),
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
