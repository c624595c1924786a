"""Hollow nodes: many proxies in one process against one API server, each with everything but the kernel.

Each has its own connections, reflectors and tracker, and resolves what changed as a proxy does for its backend; nothing
is programmed. What this measures is the API side: lists when all start at once, and watch events under churn.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec

from kproxy.bench.cluster import Size
from kproxy.bench.local.usage import Usage
from kproxy.bench.results.spread import quantile
from kproxy.daemon import memory
from kproxy.lab.probe import now
from kproxy.services.addresses import Family
from kproxy.services.tracker import ServiceTracker
from kproxy.sources.client import ApiClient, ResponseBody
from kproxy.sources.kubeconfig import load_connection
from kproxy.sources.kubernetes import KubernetesSource

_KINDS: Final = 3
_PATIENCE: Final = 300.0
_DRAIN: Final = 60.0


class HollowFigures(msgspec.Struct, frozen=True):
    """Seconds, bytes and counts."""

    proxies: int
    services: int
    endpoints: int
    rate: float
    """Changes per second that were asked for."""
    sync_seconds: float
    """From the start of all proxies until the last has listed everything."""
    list_bytes: int
    """Of all proxies together, as they came over the wire but uncompressed."""
    list_cpu: float
    """The API server's."""
    changes: int
    deliveries: int
    """Changes that reached a proxy, summed over the proxies."""
    churn_bytes: int
    churn_cpu: float
    latency_median: float
    """From the write of a change until a proxy has resolved its Service."""
    latency_p99: float
    latency_most: float
    server_resident: int

    @property
    def cpu_per_delivery(self) -> float:
        return self.churn_cpu / self.deliveries if self.deliveries else 0.0


class _Traffic:
    bytes = 0


class _CountedBody(ResponseBody):
    def __init__(self, body: ResponseBody, traffic: _Traffic) -> None:
        self._body, self._traffic = body, traffic

    async def read(self, idle_timeout: float) -> bytes:
        data = await self._body.read(idle_timeout)
        self._traffic.bytes += len(data)
        return data


class _CountingClient(ApiClient):
    """Counts what its answers' bodies weigh."""

    traffic: _Traffic

    @asynccontextmanager
    async def get(self, path: str, query: Mapping[str, str]) -> AsyncIterator[ResponseBody]:
        async with super().get(path, query) as body:
            yield _CountedBody(body, self.traffic)

    @asynccontextmanager
    async def watch(self, path: str, query: Mapping[str, str]) -> AsyncIterator[ResponseBody]:
        async with super().watch(path, query) as body:
            yield _CountedBody(body, self.traffic)


class HollowProxy:
    """Source and tracker; takes changes at once, as a proxy whose kernel costs nothing."""

    def __init__(self, number: int) -> None:
        self.name = f"node-{number}"
        self.latencies: list[float] = []
        self.synced = asyncio.Event()
        self._scheduled = False
        self.tracker = ServiceTracker(self.name, on_change=self._changed)

    def _changed(self) -> None:
        if len(self.tracker.synced_kinds) == _KINDS and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._sync)

    def _sync(self) -> None:
        self._scheduled = False
        changes = self.tracker.take()
        for name in changes.services:
            self.tracker.ports(name, Family.IPV4)
        if self.synced.is_set():
            at = datetime.now(UTC)
            self.latencies += [(at - datetime.fromisoformat(text)).total_seconds() for text in changes.triggered]
        else:
            self.synced.set()


class Server(NamedTuple):
    """The API server's process."""

    process: asyncio.subprocess.Process
    url: str

    async def churn(self, rate: float, seconds: float) -> int:
        """Have it change endpoints; gives how many."""
        writer, reader = self.process.stdin, self.process.stdout
        if writer is None or reader is None:
            raise RuntimeError("the API server has no pipes")
        writer.write(f"{rate} {seconds}\n".encode())
        return int(await reader.readline())


async def measure(proxies: int, size: Size, rate: float, seconds: float, doing: Callable[[str], None]) -> HollowFigures:
    """Start them all at once, wait until all have synced, then change endpoints at a steady rate.

    Args:
        proxies: how many
        size: of the cluster
        rate: changes per second
        seconds: how long to change
        doing: called with what is being done

    Raises:
        TimeoutError: they did not sync, or events went missing
    """
    memory.expect_many_objects()
    traffic = _Traffic()
    hollows = [HollowProxy(number) for number in range(proxies)]
    async with AsyncExitStack() as stack:
        doing(f"filling the API with {size}")
        server = await stack.enter_async_context(_api(size))
        before = Usage.of(server.process.pid)
        doing(f"{proxies} proxies list")
        begin = now()
        for hollow in hollows:
            client = _CountingClient(load_connection(master=server.url), qps=-1)
            client.traffic = traffic
            await stack.enter_async_context(client)
            following = asyncio.create_task(KubernetesSource(client, hollow.name, hollow.tracker).run())
            stack.push_async_callback(_cancel, following)
        async with asyncio.timeout(_PATIENCE):
            for hollow in hollows:
                await hollow.synced.wait()
        synced, listed, list_bytes = now() - begin, Usage.of(server.process.pid), traffic.bytes
        memory.settle()
        doing(f"{rate:g} changes per second to {proxies} proxies")
        changes = await server.churn(rate, seconds)
        async with asyncio.timeout(_DRAIN):
            while sum(len(hollow.latencies) for hollow in hollows) < changes * proxies:  # noqa: ASYNC110 - counts of many
                await asyncio.sleep(0.05)
        after = Usage.of(server.process.pid)
        if not changes:
            raise TimeoutError("no change in so short a time")
        latencies = [latency for hollow in hollows for latency in hollow.latencies]
        return HollowFigures(
            proxies,
            size.services,
            size.endpoints,
            rate,
            synced,
            list_bytes,
            listed.cpu - before.cpu,
            changes,
            len(latencies),
            traffic.bytes - list_bytes,
            after.cpu - listed.cpu,
            quantile(latencies, 0.5),
            quantile(latencies, 0.99),
            max(latencies),
            after.resident,
        )


@asynccontextmanager
async def _api(size: Size) -> AsyncIterator[Server]:
    argv = [sys.executable, "-m", "kproxy.bench.model.hollow_api", str(size.services), str(size.endpoints)]
    process = await asyncio.create_subprocess_exec(*argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        if process.stdout is None:
            raise RuntimeError("no pipe")
        async with asyncio.timeout(_PATIENCE):
            port = int(await process.stdout.readline())
        yield Server(process, f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        await process.wait()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
