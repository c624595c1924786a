"""Kernel modules of IPVS mode on the nodes of a cluster: loaded by Pods that are gone afterwards."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kproxy.kernel.processes import run_blocking
from kproxy.sources.errors import FORBIDDEN, ApiError
from kproxy.sources.kubeconfig import load_connection
from kproxy.switch import module_loading
from kproxy.switch.cluster import ClusterOptions, ClusterSwitch
from kproxy.switch.cluster_client import ClusterClient, Json
from kproxy.switch.cluster_state import ANNOTATION
from kproxy.switch.module_pod import LABEL, complaint, image_of
from kproxy.switch.plan import Outcome
from kproxy.switch.preflight import modules_for
from tests.inspect.status.commands import command
from tests.switch.cluster_switching import interrupt_after, kproxy_switch, switch
from tests.switch.fake_cluster import CONFIG, IMAGE, FakeCluster

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("network_namespace")]

TO_IPVS = ClusterOptions("ipvs", patience=20.0)
MODULES = modules_for("ipvs")
HEAD = "# Kernel modules of the proxy mode ipvs; written by kproxy switch.\n"


@pytest.fixture
async def cluster(network_namespace: None, tmp_path: Path) -> AsyncIterator[FakeCluster]:
    run_blocking(["ip", "link", "set", "lo", "up"], time_limit=10)
    async with FakeCluster(tmp_path, 3) as made:
        yield made


async def test_loaded_and_listed_on_every_node_before_anything_changes(cluster: FakeCluster) -> None:
    report = await switch(cluster, TO_IPVS)
    assert report.succeeded, report.steps
    for kubelet in cluster.kubelets.values():
        assert kubelet.loaded == set(MODULES)
        listed = (kubelet.root / "etc/modules-load.d/kproxy.conf").read_text()
        assert listed == HEAD + "".join(f"{module}\n" for module in MODULES)
    assert sorted(pod["spec"]["nodeName"] for pod in cluster.module_pods) == ["n1", "n2", "n3"]
    assert cluster.configuration_then == {CONFIG}
    assert cluster.pods(LABEL) == []


async def test_a_few_nodes_at_a_time(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_loading, "AT_ONCE", 2)
    assert (await switch(cluster, TO_IPVS)).succeeded
    assert cluster.most_module_pods == 2
    assert len(cluster.module_pods) == 3


async def test_what_the_pods_may_do(cluster: FakeCluster) -> None:
    await switch(cluster, TO_IPVS)
    spec = cluster.module_pods[0]["spec"]
    (container,) = spec["containers"]
    assert container["image"] == IMAGE
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    security = container["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["SYS_MODULE"]}
    assert security["readOnlyRootFilesystem"] is True
    assert not security.get("privileged")
    assert spec["automountServiceAccountToken"] is False
    assert {volume["hostPath"]["path"] for volume in spec["volumes"]} == {"/lib/modules", "/etc/modules-load.d"}
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["restartPolicy"] == "Never"


async def test_a_built_in_module_is_not_listed(cluster: FakeCluster) -> None:
    kubelet = cluster.kubelets["n2"]
    (kubelet.root / "lib/modules/nf_conntrack.ko").unlink()
    (kubelet.root / "sys/module/nf_conntrack").mkdir()
    assert (await switch(cluster, TO_IPVS)).succeeded
    listed = (kubelet.root / "etc/modules-load.d/kproxy.conf").read_text()
    assert "ip_vs\n" in listed
    assert "nf_conntrack" not in listed


async def test_a_node_without_a_module_ends_it_before_anything_changes(cluster: FakeCluster) -> None:
    (cluster.kubelets["n2"].root / "lib/modules/ip_vs_rr.ko").unlink()
    before = cluster.config_map(), {pod["metadata"]["uid"] for pod in cluster.pods()}
    report = await switch(cluster, TO_IPVS)
    assert not report.succeeded
    (failed,) = (step for step in report.steps if step.outcome is Outcome.FAILED)
    assert "n2: ip_vs_rr: modprobe: FATAL: Module ip_vs_rr not found in directory /lib/modules/6.1.0" in failed.detail
    assert "n1" not in failed.detail
    assert (cluster.config_map(), {pod["metadata"]["uid"] for pod in cluster.pods()}) == before
    assert not (cluster.kubelets["n2"].root / "etc/modules-load.d/kproxy.conf").exists()
    assert cluster.pods(LABEL) == []


async def test_a_pod_that_does_not_start(cluster: FakeCluster) -> None:
    cluster.without_images.add("n3")
    report = await switch(cluster, TO_IPVS._replace(patience=2.0))
    assert not report.succeeded
    assert "n3: not done within 2 s: ErrImagePull no such host" in report.steps[0].detail
    assert cluster.pods(LABEL) == []


async def test_a_folder_that_cannot_be_written(cluster: FakeCluster) -> None:
    folder = cluster.kubelets["n1"].root / "etc/modules-load.d"
    (folder / "kproxy.conf").mkdir(parents=True)
    report = await switch(cluster, TO_IPVS)
    assert not report.succeeded
    assert "n1: " in report.steps[0].detail
    assert "/etc/modules-load.d/kproxy.conf" in report.steps[0].detail


async def test_left_to_the_operator(cluster: FakeCluster) -> None:
    status, text = await kproxy_switch(cluster, "--to", "ipvs", "--no-load-modules", "--yes")
    assert status == 0, text
    assert f"every node needs these modules, loaded by you: modprobe -a {' '.join(MODULES)}" in text
    assert cluster.module_pods == []


async def test_the_plan_says_so(cluster: FakeCluster) -> None:
    status, text = await kproxy_switch(cluster, "--to", "ipvs", "--dry-run", "--module-image", "registry/kmod:1")
    assert status == 0, text
    assert "by a Pod on each of 3 nodes, with registry/kmod:1" in text
    assert "! privileged Pods in kube-system, one on each node for a moment: root with SYS_MODULE" in text
    assert cluster.module_pods == []


async def test_other_modes_need_no_pods(cluster: FakeCluster) -> None:
    status, text = await kproxy_switch(cluster, "--to", "nftables", "--dry-run")
    assert status == 0, text
    assert "Pod" not in text


async def started(cluster: FakeCluster) -> None:
    """Wait until a Pod is there; its kubelet will never run it."""
    async with asyncio.timeout(20):
        await cluster.module_pod_made.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_an_interrupted_switch_leaves_no_pods(cluster: FakeCluster, number: signal.Signals) -> None:
    cluster.without_images |= cluster.addresses.keys()
    argv = command("switch", "--cluster", "--kubeconfig", str(cluster.kubeconfig), "--to", "ipvs", "--yes")
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    await started(cluster)
    process.send_signal(number)
    output, _ = await process.communicate()
    assert b"Traceback" not in output
    assert bool(cluster.pods(LABEL)) == (number is signal.SIGKILL)
    cluster.without_images.clear()
    assert (await switch(cluster, TO_IPVS)).succeeded
    assert cluster.pods(LABEL) == []


async def test_what_was_left_goes_when_it_is_taken_back(cluster: FakeCluster) -> None:
    await interrupt_after(cluster, TO_IPVS, "node n1")
    assert ANNOTATION in cluster.config_map()["metadata"]["annotations"]
    left = {"name": "kproxy-modules-0", "namespace": "kube-system", "labels": {LABEL: "kube-proxy"}}
    others = {**left, "name": "kproxy-modules-1", "labels": {LABEL: "another"}}
    cluster.without_images.add("n1")
    for meta in (left, others):
        spec = {"nodeName": "n1", "containers": [{"name": "modprobe", "image": IMAGE}]}
        cluster.store.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    status, text = await kproxy_switch(cluster, "--to", "ipvs", "--abort")
    assert status == 0, text
    assert [pod["metadata"]["name"] for pod in cluster.pods(LABEL)] == ["kproxy-modules-1"]


class MayNotMakePods(ClusterClient):
    async def create(self, path: str, obj: Json) -> Json:
        if obj["kind"] == "Pod":
            raise ApiError(FORBIDDEN, "Forbidden", "pods is forbidden")
        return await super().create(path, obj)


async def test_a_pod_that_may_not_be_made(cluster: FakeCluster) -> None:
    async with MayNotMakePods(load_connection(cluster.kubeconfig), qps=0) as client:
        switching = ClusterSwitch(client, TO_IPVS)
        report = await switching.run(*await switching.plan())
    assert not report.succeeded
    assert report.steps[0].detail.endswith("n1, n2, n3: 403 Forbidden: pods is forbidden")
    assert cluster.configuration() == CONFIG


def test_the_proxy_is_told_from_what_runs_beside_it() -> None:
    def daemon_set(*containers: Json) -> Json:
        return {"spec": {"template": {"spec": {"containers": list(containers)}}}}

    other: Json = {"image": "other", "command": ["/bin/rbac"]}
    assert image_of(daemon_set(other, {"image": "proxy", "command": ["/usr/local/bin/kube-proxy"]})) == "proxy"
    assert image_of(daemon_set({"image": "proxy", "args": ["--config=x"]}, other)) == "proxy"
    assert image_of(daemon_set()) == ""
    assert image_of({"spec": {}}) == ""


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"phase": "Succeeded"}, ""),
        ({"phase": "Failed", "reason": "OutOfpods", "message": "Node didn't\nhave"}, "OutOfpods Node didn't have"),
        ({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 1}}}]}, "exit status 1"),
        ({}, "the Pod is not started"),
        ({"phase": "Failed", "message": "x" * 5000}, "x" * 300),
    ],
)
def test_what_became_of_a_pod(status: dict[str, object], words: str) -> None:
    assert complaint({"status": status}) == words
