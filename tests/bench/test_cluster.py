"""The cluster benchmark against the embedded API server: it measures, and nothing of it stays, whatever ends it."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from kproxy.apiserver import ApiServer, Store
from kproxy.apiserver.kubeconfig import write_kubeconfig
from kproxy.apiserver.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES, Resource
from kproxy.bench.cluster import service
from kproxy.bench.local.contenders import Mode, ours, settings
from kproxy.bench.remote.workspace import MANAGED_BY, RUN, TOOL, Workspace, WorkspaceError, remove_leftovers
from kproxy.bench.results.schema import read
from kproxy.cli.bench import app
from kproxy.lab.lab import Lab
from kproxy.lab.process import Process
from kproxy.lab.proxy import run_proxy
from kproxy.lab.topology import NODE
from tests.bench import metrics_server

BENCH = [sys.executable, "-c", "from kproxy.cli.bench import app; app()", "cluster"]


class Cluster(NamedTuple):
    store: Store
    kubeconfig: Path

    def names(self, resource: Resource) -> set[str]:
        return {obj.name for obj in self.store.collection(resource).scan()}


def _with_somebody_elses() -> Store:
    store = Store()
    store.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE.name}})
    store.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "theirs"}})
    theirs = service(4000)
    theirs["metadata"] |= {"name": "theirs", "namespace": "theirs", "labels": {MANAGED_BY: TOOL}}
    store.apply(theirs)
    return store


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with ApiServer(_with_somebody_elses()) as server:
        write_kubeconfig(tmp_path / "config", server.url)
        yield Cluster(server.store, tmp_path / "config")


def _nothing_is_left(cluster: Cluster, before: set[str]) -> None:
    assert cluster.names(SERVICES) == {"theirs"}
    assert cluster.names(ENDPOINT_SLICES) == set()
    assert cluster.names(NAMESPACES) == before


@asynccontextmanager
async def _on_a_node(tmp_path: Path, store: Store, *arguments: str) -> AsyncIterator[tuple[Lab, Process]]:
    """The command on a node that a proxy serves, which reads the same API."""
    async with Lab.open() as lab, metrics_server.serve(lab.namespace(NODE.name), store) as url:
        write_kubeconfig(tmp_path / "config", url)
        argv = [*BENCH, "--kubeconfig", str(tmp_path / "config"), "--services", "5", "--changes", "4", "--rounds", "1"]
        argv += ["--connections", "10", "--address", str(NODE.address.v4.ip), "--out", str(tmp_path / "r"), *arguments]
        async with (
            run_proxy(lab, ours().command, settings(Mode.NFTABLES), url),
            lab.process(NODE.name, argv) as process,
        ):
            yield lab, process


@pytest.mark.root
async def test_it_measures_a_node_and_cleans_up(tmp_path: Path) -> None:
    store = _with_somebody_elses()
    store.apply(metrics_server.DAEMON_SET)
    before = Cluster(store, tmp_path).names(NAMESPACES)
    async with _on_a_node(tmp_path, store, "--rounds", "2") as (_, process):
        assert await process.wait() == 0, process.output()
    _nothing_is_left(Cluster(store, tmp_path), before)
    (run,) = read(tmp_path / "r.json").runs
    assert run.problems == []
    assert run.mode == "nftables"
    assert {len(figure.rounds) for figure in run.figures.values()} == {2}
    first, second = (each[0] for each in run.figures["kernel_objects_added"].rounds)
    # The second round began without the first one's Services. What stays for whoever is next: for Services of one
    # endpoint and for those of ten, the chain that chooses, its rule, and the element that leads there.
    assert second == first - 2 * 3
    samples = {name: figure.rounds[1] for name, figure in run.figures.items()}
    assert len(samples["update_connection"]) == 4
    assert len(samples["connect_last"]) == 10
    assert samples["kernel_objects_added"][0] > 5
    assert 0 < samples["cpu_change"][0] < samples["cpu_creation"][0]
    assert samples["resident_peak"][0] >= samples["resident"][0] > 20e6
    assert 0 < samples["sync_duration"][0] < max(samples["update_connection"])
    assert samples["pods_cpu_before"] == [0.25 + 0.0015] * 2
    assert samples["pods_memory"] == [float(f"{(64 << 20) + 1e6:.4g}")] * 2  # as the file has it
    assert min(samples[name][0] for name in ("requests", "requests_direct", "throughput", "throughput_direct")) > 0
    assert {"kernel_memory", "kernel_slab", "cpu_idle", "creation_to_synced"} < samples.keys()
    assert run.metrics


@pytest.mark.root
async def test_what_cannot_be_had_is_left_out_with_the_reason(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9/metrics"
    store = _with_somebody_elses()
    async with _on_a_node(tmp_path, store, "--metrics-url", nobody, "--load-seconds", "0") as (_, process):
        assert await process.wait() == 0, process.output()
    (run,) = read(tmp_path / "r.json").runs
    assert run.mode == "nftables"  # by its rules
    words = "\n".join(run.problems)
    assert "there is no DaemonSet kube-system/kube-proxy: name the proxy's with --daemon-set" in words
    assert f"metrics of this node's proxy: {nobody}: " in words
    assert "left out as asked" in words
    left_out = ("sync_duration", "pods_cpu", "pods_memory_before", "requests", "throughput")
    assert not {*left_out} & run.figures.keys()
    assert words in (tmp_path / "r.md").read_text().replace("\n- cluster, nftables, 5 × 10: ", "\n")


@pytest.mark.root
async def test_ended_under_load_it_leaves_no_program_behind(tmp_path: Path) -> None:
    store = _with_somebody_elses()
    before = Cluster(store, tmp_path).names(NAMESPACES)
    async with _on_a_node(tmp_path, store, "--load-seconds", "60") as (lab, process):
        async with asyncio.timeout(30):
            while ", wrk\n" not in process.output() or not _programs(lab, "wrk"):  # noqa: ASYNC110 - a file, /proc
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 130, process.output()
        assert _programs(lab, "wrk") == []
    _nothing_is_left(Cluster(store, tmp_path), before)
    assert read(tmp_path / "r.json").runs[0].figures["update_connection"].samples


def _programs(lab: Lab, name: str) -> list[int]:
    """Processes of that name on the lab's node."""
    node = os.fstat(lab.namespace(NODE.name).fd).st_ino
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text().strip() == name and (entry / "ns/net").stat().st_ino == node:
                found.append(int(entry.name))
    return found


@asynccontextmanager
async def _running(cluster: Cluster, tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command at the point where it waits for cluster IPs that nobody serves."""
    argv = [*BENCH, "--kubeconfig", str(cluster.kubeconfig), "--services", "3", "--address", "127.0.0.1"]
    process = await asyncio.create_subprocess_exec(
        *argv, "--out", str(tmp_path / "r"), "--patience", "20", stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_signal_leaves_nothing_behind(cluster: Cluster, tmp_path: Path) -> None:
    before = cluster.names(NAMESPACES)
    async with _running(cluster, tmp_path) as process:
        assert process.stderr is not None
        async with asyncio.timeout(20):
            while b"making" not in await process.stderr.readline():
                pass
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 130
    _nothing_is_left(cluster, before)


async def test_what_a_killed_run_leaves_is_removed_later(cluster: Cluster) -> None:
    before = cluster.names(NAMESPACES)
    workspace = Workspace.open(cluster.kubeconfig, None, "", yes=False)
    left = await workspace.__aenter__()
    await left.create(0, [("192.0.2.1", 80)])
    assert cluster.names(SERVICES) == {"theirs", "service-0"}
    removed = await remove_leftovers(cluster.kubeconfig, None)
    assert removed == [f"2 objects in namespace {left.namespace}", f"namespace {left.namespace}"]
    _nothing_is_left(cluster, before)
    await workspace.__aexit__(None, None, None)


async def test_a_namespace_that_is_there_needs_a_yes(cluster: Cluster) -> None:
    with pytest.raises(WorkspaceError, match="--yes"):
        async with Workspace.open(cluster.kubeconfig, None, "theirs", yes=False):
            pass
    async with Workspace.open(cluster.kubeconfig, None, "theirs", yes=True) as workspace:
        await workspace.create(0, [("192.0.2.1", 80)])
        assert cluster.store.get(SERVICES, "theirs", "service-0").labels[RUN] == workspace.run
    assert cluster.names(SERVICES) == {"theirs"}
    assert "theirs" in cluster.names(NAMESPACES)


async def test_no_cluster_is_one_line(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *BENCH, "--kubeconfig", str(tmp_path / "none"), "--address", "127.0.0.1", stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"Traceback" not in said


@pytest.mark.parametrize("name", ["kube-proxy", "/kube-proxy", "kube-system/"])
def test_a_daemon_set_without_its_namespace_is_refused(name: str) -> None:
    outcome = CliRunner().invoke(app, ["cluster", "--daemon-set", name, "--kubeconfig", "/nonexistent"])
    assert outcome.exit_code == 2
    assert "--daemon-set must be a namespace and a name" in " ".join(outcome.stderr.split())
