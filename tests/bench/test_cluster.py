"""The cluster benchmark against the embedded API server: it measures, and nothing of it stays, whatever ends it."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from kproxy.apiserver import ApiServer, Store
from kproxy.apiserver.kubeconfig import write_kubeconfig
from kproxy.apiserver.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES, Resource
from kproxy.bench.api import serve
from kproxy.bench.cluster import service
from kproxy.bench.local.contenders import Mode, ours, settings
from kproxy.bench.remote.workspace import MANAGED_BY, RUN, TOOL, Workspace, WorkspaceError, remove_leftovers
from kproxy.bench.results.schema import read
from kproxy.lab.lab import Lab
from kproxy.lab.proxy import run_proxy
from kproxy.lab.topology import NODE

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


@pytest.mark.root
async def test_it_measures_a_node_and_cleans_up(tmp_path: Path) -> None:
    store = _with_somebody_elses()
    async with Lab.open() as lab, serve(lab.namespace(NODE.name), store) as url:
        write_kubeconfig(tmp_path / "config", url)
        cluster = Cluster(store, tmp_path / "config")
        before = cluster.names(NAMESPACES)
        argv = [*BENCH, "--kubeconfig", str(cluster.kubeconfig), "--services", "5", "--changes", "4"]
        argv += ["--connections", "10", "--address", str(NODE.address.v4.ip), "--out", str(tmp_path / "r")]
        async with (
            run_proxy(lab, ours().command, settings(Mode.NFTABLES), url),
            lab.process(NODE.name, [*argv, "--metrics-url", "http://127.0.0.1:10249/metrics"]) as process,
        ):
            assert await process.wait() == 0, process.output()
    _nothing_is_left(cluster, before)
    (run,) = read(tmp_path / "r.json").runs
    assert run.mode == "nftables"
    assert len(run.figures["update_connection"].samples) == 4
    assert len(run.figures["connect_last"].samples) == 10
    assert run.metrics


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
