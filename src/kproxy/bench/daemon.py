"""The daemon as an operator runs it: a process in a namespace, beside an API server in ours."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec

from kproxy.apiserver import Store
from kproxy.bench import api, churn, cluster
from kproxy.bench.churn import Churn
from kproxy.bench.cluster import Size
from kproxy.daemon import memory
from kproxy.kernel.nftnl.transaction import NftSocket
from kproxy.lab.commits import CommitMonitor
from kproxy.lab.namespaces import Namespace
from kproxy.lab.probe import now
from kproxy.lab.process import start

_CHANGES = 200
_WARM_UP = 20
_CHURN_RATE, _CHURN_SECONDS = 500.0, 10.0
_PATIENCE = 120.0
_TABLES = 2
"""Each IP family's table is a commit of its own."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class DaemonRun(NamedTuple):
    """Seconds and bytes."""

    start_to_synced: float
    """From the start of the process to the commit of the full sync."""
    start_cpu: float
    change: float
    """Median, from the API server's watch event to the kernel's notice of the commit, as another process gets it."""
    change_p99: float
    change_cpu: float
    """Mean CPU time of the proxy, the kernel's share included."""
    idle_cpu: float
    """Share of one core with nothing to do."""
    resident: int
    churn: Churn


async def measure(size: Size, proxy: Sequence[str]) -> DaemonRun:
    """Serve a cluster from an API, start the proxy on it, and change one endpoint after the other.

    Args:
        size: of the cluster
        proxy: the command; `--config FILE` is appended

    Raises:
        OSError: namespaces cannot be made
        TimeoutError: the proxy did not sync
    """
    async with AsyncExitStack() as stack:
        namespace = stack.enter_context(Namespace("bench"))
        namespace.run(_loopback_up)
        store = Store()
        api.fill(store, size)
        memory.settle()  # or this process' collections show in the proxy's latencies
        url = await stack.enter_async_context(api.serve(namespace, store))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        nft = namespace.run(NftSocket)
        stack.callback(nft.close)
        begin = now()
        process = await stack.enter_async_context(start(namespace, [*proxy, "--config", _configuration(folder, url)]))
        try:
            async with asyncio.timeout(_PATIENCE):
                await _generation(nft, _TABLES)
        except TimeoutError:
            raise TimeoutError(f"{proxy[0]} did not sync:\n{process.output()}") from None
        synced = now() - begin
        start_cpu = _cpu(process.pid)
        await asyncio.sleep(2.0)
        resident = _resident(process.pid)
        idle_begin, idle_cpu = now(), _cpu(process.pid)
        await asyncio.sleep(5.0)
        idle = (_cpu(process.pid) - idle_cpu) / (now() - idle_begin)
        monitor = stack.enter_context(CommitMonitor(namespace))
        seconds, cpu = await _changes(store, size, monitor, process.pid)
        churned = await churn.measure(store, size, namespace, rate=_CHURN_RATE, seconds=_CHURN_SECONDS)
    ordered = sorted(seconds)
    median, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
    return DaemonRun(synced, start_cpu, median, p99, cpu, idle, resident, churned)


async def _generation(nft: NftSocket, wanted: int) -> None:
    """Wait for a number of commits, by asking: a listener would have the kernel describe each element to it."""
    while nft.generation() <= wanted:  # noqa: ASYNC110 - an untouched namespace is at generation 1
        await asyncio.sleep(0.002)


async def _changes(store: Store, size: Size, monitor: CommitMonitor, pid: int) -> tuple[list[float], float]:
    seconds = []
    cpu = _cpu(pid)
    for number in range(_WARM_UP + _CHANGES):
        if number == _WARM_UP:
            cpu = _cpu(pid)
        slice_ = cluster.endpoint_slices(number * 7919 % size.services, size.endpoints, offset=number + 1)[-1]
        written = now()
        store.apply(slice_)
        (commit, *_) = await monitor.burst_since(written, _PATIENCE, 0.005)
        if number >= _WARM_UP:
            seconds.append(commit.at - written)
    return seconds, (_cpu(pid) - cpu) / len(seconds)


def _configuration(folder: Path, url: str) -> str:
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": url}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "users": [{"name": "bench", "user": {"token": "bench"}}],
    }
    (folder / "kubeconfig").write_bytes(msgspec.json.encode(kubeconfig))
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": "node-0",
        "clusterCIDR": cluster.POD_NETWORK,
        "clientConnection": {
            "kubeconfig": str(folder / "kubeconfig"),
            "contentType": "application/json",
            "acceptContentTypes": "application/json",
            "qps": -1,
        },
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "0s", "syncPeriod": "30s"},
    }
    path = folder / "config"
    path.write_bytes(msgspec.json.encode(configuration))
    return str(path)


def _loopback_up() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _cpu(pid: int) -> float:
    """Seconds that all threads of a process have run, to the nanosecond (proc(5), schedstat)."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def _resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
