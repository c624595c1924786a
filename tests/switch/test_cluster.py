"""The switch of a cluster, against an API server: node by node, verified, taken back, resumed."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kproxy.sources.kubeconfig import load_connection
from kproxy.switch.cluster import ClusterOptions, ClusterSwitch
from kproxy.switch.cluster_client import ClusterClient
from kproxy.switch.cluster_state import ANNOTATION
from kproxy.switch.plan import Outcome
from tests.inspect.doctor.patient import run
from tests.inspect.status.commands import invoke
from tests.switch.cluster_switching import interrupt_after, kproxy_switch, switch
from tests.switch.fake_cluster import CONFIG, FakeCluster

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("network_namespace")]

PATIENCE = 0.5
TO_NFTABLES = ClusterOptions("nftables", patience=PATIENCE)


@pytest.fixture
async def cluster(network_namespace: None, tmp_path: Path) -> AsyncIterator[FakeCluster]:
    run("ip", "link", "set", "lo", "up")
    async with FakeCluster(tmp_path, 4) as made:
        yield made


async def test_node_by_node(cluster: FakeCluster) -> None:
    report = await switch(cluster, TO_NFTABLES)
    assert report.succeeded, report.steps
    assert set(cluster.modes.values()) == {"nftables"}
    assert cluster.most_unavailable == 1
    assert cluster.configuration() == CONFIG.replace("mode: iptables", 'mode: "nftables"')
    assert ANNOTATION not in cluster.config_map()["metadata"].get("annotations", {})
    backup = cluster.config_map("kube-proxy-before-switch-from-iptables")
    assert backup["data"]["config.conf"] == CONFIG
    verified = [step.detail for step in report.steps if step.name.startswith("node ")]
    assert verified == ["healthy, 1 NodePorts answer as before"] * 4


async def test_max_unavailable_of_a_share(network_namespace: None, tmp_path: Path) -> None:
    run("ip", "link", "set", "lo", "up")
    async with FakeCluster(tmp_path, 4, max_unavailable="50%") as cluster:
        assert (await switch(cluster, TO_NFTABLES)).succeeded
        assert cluster.most_unavailable == 2


async def test_a_node_that_does_not_serve_takes_all_back(cluster: FakeCluster) -> None:
    cluster.broken.add(("n3", "nftables"))
    report = await switch(cluster, TO_NFTABLES)
    assert not report.succeeded
    assert set(cluster.modes.values()) == {"iptables"}
    assert cluster.configuration() == CONFIG
    assert ANNOTATION not in cluster.config_map()["metadata"].get("annotations", {})
    failed = next(step for step in report.steps if step.outcome is Outcome.FAILED)
    assert "127.0.0.3: /healthz answers 503" in failed.detail
    assert {step.name for step in report.steps if step.outcome is Outcome.ROLLED_BACK} == {
        "node n1",
        "node n2",
        "node n3",
        "roll back",
    }


async def test_an_interrupted_switch_goes_on(cluster: FakeCluster) -> None:
    await interrupt_after(cluster, TO_NFTABLES, "node n2")
    state = json.loads(cluster.config_map()["metadata"]["annotations"][ANNOTATION])
    assert "n1" in state["done"]
    assert "iptables" in cluster.modes.values()
    old = {pod["metadata"]["uid"] for pod in cluster.pods() if pod["spec"]["nodeName"] in state["done"]}
    assert (await switch(cluster, TO_NFTABLES)).succeeded
    assert set(cluster.modes.values()) == {"nftables"}
    assert old <= {pod["metadata"]["uid"] for pod in cluster.pods()}  # those that were done are left alone


async def test_an_interrupted_switch_can_be_taken_back(cluster: FakeCluster) -> None:
    await interrupt_after(cluster, TO_NFTABLES, "node n1")
    status, text = await kproxy_switch(cluster, "--to", "nftables", "--abort")
    assert status == 0, text
    assert set(cluster.modes.values()) == {"iptables"}
    assert cluster.configuration() == CONFIG


async def test_somebody_elses_change_is_not_overwritten(cluster: FakeCluster) -> None:
    async with ClusterClient(load_connection(cluster.kubeconfig), qps=0) as client:
        switching = ClusterSwitch(client, TO_NFTABLES)
        plan, found = await switching.plan()
        changed = cluster.config_map()
        changed["data"]["config.conf"] += "oomScoreAdj: -5\n"
        cluster.store.apply({"apiVersion": "v1", "kind": "ConfigMap", **changed})
        report = await switching.run(plan, found)
    assert not report.succeeded
    assert "oomScoreAdj: -5" in cluster.configuration()
    assert set(cluster.modes.values()) == {"iptables"}


async def test_the_command(cluster: FakeCluster) -> None:
    before = cluster.config_map()
    status, text = await kproxy_switch(cluster, "--to", "nftables", "--dry-run")
    assert status == 0
    assert "iptables → nftables" in text
    assert "replace the pods of n1, n2, n3, n4, 1 at a time" in text
    assert "dry run: nothing was changed" in text
    assert cluster.config_map() == before
    status, text = await kproxy_switch(cluster, "--to", "nftables")
    assert (status, cluster.config_map()) == (1, before)
    assert "not confirmed" in text
    status, text = await kproxy_switch(cluster, "--to", "nftables", "--yes", "-o", "json")
    assert status == 0, text
    assert json.loads(text)["succeeded"] is True
    status, text = await kproxy_switch(cluster, "--to", "nftables", "--yes")
    assert status == 1
    assert "the ConfigMap says nftables already" in text


async def test_a_config_map_that_is_not_there(cluster: FakeCluster) -> None:
    status, text = await kproxy_switch(cluster, "--to", "ipvs", "--config-map", "nosuch")
    assert status == 2, text
    assert text == 'kproxy switch: 404 NotFound: configmaps "nosuch" not found\n'


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "ebpf", "--node"], "must be one of"),
        (["--to", "ipvs", "--node", "--cluster"], "give either --node or --cluster"),
        (["--to", "ipvs", "--cluster", "--kubeconfig", "/nonexistent"], "/nonexistent"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments: list[str], words: str) -> None:
    status, text = invoke("switch", *arguments)
    assert status == 2, text
    assert text.startswith("kproxy switch: ")
    assert words in text
    assert "Traceback" not in text
