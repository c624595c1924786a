"""What 10,000 Services with their slices cost this process, from an API server in another one."""

import asyncio
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe

import pytest

from kproxy.apiserver import ApiServer, Store
from kproxy.bench.cluster import endpoint_slices, service
from kproxy.services.objects import KubeObject
from kproxy.sources.client import ApiClient
from kproxy.sources.connection import Connection
from kproxy.sources.credentials import StoredCredentials
from kproxy.sources.kubernetes import KubernetesSource
from kproxy.sources.reflector import ReflectorSettings
from kproxy.sources.tls import TlsTrust

SERVICES, ENDPOINTS = 10_000, 10
MOST_SECONDS = 1.5


class CountingSink:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.objects = 0
        self._missing = 3
        self.complete = asyncio.Event()

    def upsert(self, obj: KubeObject) -> None:
        self.objects += 1

    def delete(self, kind: type[KubeObject], namespace: str, name: str) -> None:
        raise AssertionError(name)

    def synced(self, kind: type[KubeObject]) -> None:
        self._missing -= 1
        if not self._missing:
            self.complete.set()


def serve(pipe: Pipe) -> None:
    """Run the API server until the other end of the pipe is closed."""

    async def run() -> None:
        store = Store()
        store.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        for number in range(SERVICES):
            store.apply(service(number))
            for part in endpoint_slices(number, ENDPOINTS):
                store.apply(part)
        async with ApiServer(store) as server:
            pipe.send(server.url)
            await asyncio.to_thread(pipe.poll, None)

    asyncio.run(run())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours.recv()
    finally:
        ours.close()
        process.join(10)


@pytest.mark.parametrize(("stream_lists", "compression"), [(True, False), (False, False), (False, True)])
async def test_first_state_is_cheap(url: str, *, stream_lists: bool, compression: bool) -> None:
    sink = CountingSink()
    connection = Connection(url, TlsTrust(), StoredCredentials(), compression=compression)
    async with ApiClient(connection, qps=-1) as client:
        source = KubernetesSource(client, "n1", sink, settings=ReflectorSettings(stream_lists=stream_lists))
        began, used = time.monotonic(), time.process_time()
        task = asyncio.create_task(source.run())
        async with asyncio.timeout(60):
            await sink.complete.wait()
        elapsed, used = time.monotonic() - began, time.process_time() - used
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    how = "streamed" if stream_lists else "pages, gzip" if compression else "pages"
    print(f"{SERVICES} Services × {ENDPOINTS} ({how}): {used:.2f} s of our CPU, {elapsed:.2f} s in all")
    assert sink.objects == 2 * SERVICES + 1
    assert used <= MOST_SECONDS
