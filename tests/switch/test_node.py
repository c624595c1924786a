"""The switch of a node: under load nothing is refused, and what fails is taken back."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kproxy.lab.lab import Lab
from kproxy.lab.load import Load, quantile
from kproxy.lab.probe import Result
from tests.daemon.node import BIN
from tests.switch.supervised_node import CLUSTER_IP, NODE_PORT, SupervisedNode

pytestmark = pytest.mark.root

RATE = 80.0


@pytest.fixture
async def node(lab: Lab, tmp_path: Path) -> AsyncIterator[SupervisedNode]:
    async with SupervisedNode.run(lab, tmp_path, "iptables") as made:
        yield made


async def test_there_and_back_under_load(node: SupervisedNode, lab: Lab) -> None:
    before = node.config.read_text()
    with lab.flow("pod-x", "TCP", CLUSTER_IP, 80) as long_lived:
        first = await long_lived.ask()
        async with (
            Load(lab, "pod-x", "TCP", CLUSTER_IP, 80, RATE) as inside,
            Load(lab, "ext", "TCP", "192.168.77.2", NODE_PORT, RATE) as outside,
        ):
            status, text = await node.switch("--to", "nftables")
            assert status == 0, text + node.supervisor.output()
            assert "KUBE-SVC" not in node.tables()
            assert "table ip kube-proxy" in node.tables()
            status, text = await node.switch("--to", "iptables")
            assert status == 0, text + node.supervisor.output()
            assert "table ip kube-proxy" not in node.tables()
        requests = [*inside.requests, *outside.requests]
        assert [*inside.failures, *outside.failures] == []
        assert (await long_lived.ask()) == first
    assert len(requests) > 100
    latencies = [request.latency for request in requests]
    print(
        f"{len(requests)} requests, 0 failed; p99 {quantile(latencies, 0.99) * 1000:.1f} ms, "
        f"slowest {max(latencies) * 1000:.1f} ms"
    )
    after = node.config.read_text()
    assert after.replace("mode: iptables", 'mode: "iptables"') == before.replace("mode: iptables", 'mode: "iptables"')
    assert after.startswith("# written by hand\n")


async def test_a_switch_that_fails_is_taken_back(lab: Lab, tmp_path: Path) -> None:
    """With a proxy that never reads the changed file."""
    stubborn = tmp_path / "stubborn"
    stubborn.write_text(f'#!/bin/sh\ncp -n "$2" "$2.first"\nexec {BIN}/kube-proxy --config "$2.first"\n')
    stubborn.chmod(0o755)
    async with SupervisedNode.run(lab, tmp_path, "iptables", str(stubborn)) as node:
        before = node.config.read_text()
        status, text = await node.switch("--to", "nftables", "--patience", "1")
        assert status == 1, text
        assert "not verified within 1 s: " in text
        assert "roll back: iptables mode, healthy, 1 of 1 Services answer as before" in text
        assert node.config.read_text() == before
        outcome = await lab.probe("pod-x", "TCP", CLUSTER_IP, 80)
        assert outcome.result is Result.OK
        assert not list(node.folder.glob("*kproxy-switch*"))


async def test_an_interrupted_switch_goes_on(node: SupervisedNode) -> None:
    backup = node.config.with_name("config.yaml.kproxy-backup")
    backup.write_text(node.config.read_text())
    state = {
        "from_mode": "iptables",
        "to_mode": "nftables",
        "phase": 2,
        "answered": ["default/web:http (10.96.0.10:80)"],
    }
    node.config.with_name("config.yaml.kproxy-switch.json").write_text(json.dumps(state))
    status, text = await node.switch("--to", "ipvs")
    assert status == 1
    assert "a switch to nftables is unfinished" in text
    status, text = await node.switch("--to", "nftables")
    assert status == 0, text
    assert "go on after: modules loaded" in text
    assert "1 of 1 Services answer as before" in text
    status, text = await node.switch("--to", "nftables")
    assert status == 0
    assert "the mode is nftables already" in text


async def test_dry_run_changes_nothing(node: SupervisedNode) -> None:
    before, tables = node.config.read_text(), node.tables()
    status, text = await node.switch("--to", "nftables", "--dry-run")
    assert status == 0, text
    assert "set mode: nftables" in text
    assert "NodePorts will answer on the node's primary addresses only" in text
    assert (node.config.read_text(), node.tables()) == (before, tables)
    assert [path.name for path in node.folder.glob("config*")] == ["config.yaml"]


async def test_leftovers_go_without_a_configuration_file(node: SupervisedNode) -> None:
    """As where the proxy runs in a pod, and keeps its configuration to itself."""
    node.on_node("nft", "add", "table", "ip", "kube-proxy")
    status, text = await node.switch("--to", "nftables", "--config", "/nonexistent")
    assert status == 2, text
    assert "no such file" in text
    status, text = await node.switch("--to", "iptables", "--config", "/nonexistent")
    assert status == 0, text
    assert "removed table ip kube-proxy" in text
    assert "table ip kube-proxy" not in node.tables()
