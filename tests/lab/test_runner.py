"""Scenarios from start to end, against a stand-in for a proxy whose faults are known."""

import sys
from pathlib import Path

import pytest

from kproxy.lab.expectation import Expectation, Target
from kproxy.lab.manifest_folder import ManifestFolder
from kproxy.lab.observation import Difference, render
from kproxy.lab.probe import Result, empty_sample
from kproxy.lab.proxy import ProxyFailedError
from kproxy.lab.runner import run_scenario

STANDIN = [sys.executable, str(Path(__file__).with_name("standin_proxy.py"))]
SCENARIO = """
about: what the stand-in can do
services:
  web:
    spec:
      type: NodePort
      clusterIP: 10.96.0.1
      clusterIPs: [10.96.0.1, 'fd00:10:96::1']
      ipFamilyPolicy: RequireDualStack
      ports: [{port: 80, targetPort: 8080, nodePort: 30080}]
    slices: [[pod-a, pod-c], [pod-d]]
  dns:
    spec: {clusterIP: 10.96.0.2, ports: [{port: 53, targetPort: 5353, protocol: UDP}]}
expect:
- [pods,     10.96.0.1,       80/TCP,    {own: [pod-a, pod-c, pod-d]}]
- [node ext, 10.96.0.1,       80/TCP,    {node: [pod-a, pod-c, pod-d]}]
- [pods,     'fd00:10:96::1', 80/TCP,    {own: [pod-a, pod-c, pod-d]}]
- [node ext, 'fd00:10:96::1', 80/TCP,    {node: [pod-a, pod-c, pod-d]}]
- [all,      192.168.77.2,    30080/TCP, {node: [pod-a, pod-c, pod-d]}]
- [all,      10.96.0.2,       53/UDP,    rejected]
- [all,      10.96.0.3,       80/TCP,    timeout]
steps:
- name: dns comes up
  services: {dns: {slices: [[pod-b]]}}
  expect:
  - [pods,     10.96.0.2, 53/UDP, {own: [pod-b]}]
  - [node ext, 10.96.0.2, 53/UDP, {node: [pod-b]}]
- name: web goes
  services: {web: null}
  expect:
  - [all, 10.96.0.1,       80/TCP,    timeout]
  - [all, 'fd00:10:96::1', 80/TCP,    timeout]
  - [all, 192.168.77.2,    30080/TCP, rejected]
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "standin.yaml"
    path.write_text(SCENARIO)
    return path


@pytest.mark.root
async def test_a_right_proxy_passes(scenario: Path) -> None:
    report = await run_scenario(scenario, STANDIN, "nftables")
    assert report.passed, str(report)
    assert [phase.name for phase in report.phases] == ["initial", "dns comes up", "web goes"]
    assert str(report).startswith("standin: 75 of 75 rows hold")


@pytest.mark.root
async def test_a_wrong_proxy_is_found_out(scenario: Path) -> None:
    report = await run_scenario(scenario, [*STANDIN, "--fault", "lose-an-endpoint"], "nftables")
    assert not report.passed
    initial, dns, gone = report.phases
    assert {each.target.address for each in initial.differences} == {"10.96.0.1", "fd00:10:96::1", "192.168.77.2"}
    assert {each.target.address for each in dns.differences} == {
        "10.96.0.1", "fd00:10:96::1", "192.168.77.2", "10.96.0.2",
    }  # fmt: skip
    assert {each.target.address for each in gone.differences} == {"10.96.0.2"}
    assert "pod-b from 10.244.1.50  1 × rejected" in str(report)


@pytest.mark.root
async def test_health_check_node_ports_are_asked(tmp_path: Path) -> None:
    path = tmp_path / "standin.yaml"
    path.write_text(SCENARIO + "health: {10249: 1}\n")
    report = await run_scenario(path, STANDIN, "nftables")
    assert "health check node port 10249: expected 200, 1 endpoints here; met ClientConnectorError" in str(report)
    assert len([phase for phase in report.phases if phase.health]) == 3


@pytest.mark.root
async def test_a_proxy_that_ends_is_quoted(scenario: Path) -> None:
    with pytest.raises(ProxyFailedError, match="ended with 1\nno such mode"):
        await run_scenario(scenario, [*STANDIN, "--fault", "exit"], "nftables")


def test_differences_are_a_table() -> None:
    sample = empty_sample()
    sample.answers["pod-a", "10.244.1.1"] = 9
    sample.failures[Result.TIMEOUT] = 2
    difference = Difference(
        Target("ext", "10.96.0.1", 80, "TCP"), Expectation(frozenset({("pod-b", "192.168.77.100")})), sample
    )
    assert render([difference]).splitlines() == [
        "client  address           expected                   met",
        "ext     10.96.0.1 80/TCP  pod-b from 192.168.77.100  pod-a from 10.244.1.1, 2 × timeout",
    ]


def test_manifests_appear_and_vanish_whole(tmp_path: Path) -> None:
    folder = ManifestFolder(tmp_path)
    manifest = {"kind": "Service", "metadata": {"name": "web"}, "spec": {"clusterIP": "10.96.0.1"}}
    folder.apply(manifest)
    folder.apply(manifest)
    assert [path.name for path in tmp_path.iterdir()] == ["service-web.yaml"]
    folder.delete(manifest)
    assert not list(tmp_path.iterdir())
