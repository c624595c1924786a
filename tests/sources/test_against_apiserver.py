"""The source against the embedded API server, over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from kproxy.apiserver import ApiServer, Store
from kproxy.services.objects import EndpointSlice, Node, Service
from kproxy.sources.client import ApiClient
from kproxy.sources.connection import Connection
from kproxy.sources.credentials import StoredCredentials
from kproxy.sources.kubernetes import KubernetesSource
from kproxy.sources.secret_content import InlineContent
from kproxy.sources.tls import TlsTrust

from .api_objects import JsonObject
from .recording_sink import RecordingSink
from .skipping_clock import SkippingClock

TOKEN = "let-me-in"


def service(name: str, port: int = 80, labels: dict[str, str] | None = None) -> JsonObject:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "shop", "labels": labels or {}},
        "spec": {"clusterIP": f"10.96.0.{ord(name[0])}", "ports": [{"port": port}]},
    }


def endpoint_slice(name: str, *addresses: str) -> JsonObject:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
        "ports": [{"port": 8080}],
    }


def node(name: str) -> JsonObject:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"podCIDR": "10.1.0.0/24"}}


@pytest.fixture
async def server() -> AsyncIterator[ApiServer]:
    async with ApiServer(Store(history=4), token=TOKEN) as server:
        yield server


@pytest.fixture
async def sink(server: ApiServer) -> AsyncIterator[RecordingSink]:
    """A sink that a source keeps up to date with the server, as node n1."""
    sink, clock = RecordingSink(), SkippingClock()
    credentials = StoredCredentials(bearer=InlineContent(TOKEN.encode(), "test"))
    async with ApiClient(Connection(server.url, TlsTrust(), credentials), clock=clock) as client:
        task = asyncio.create_task(KubernetesSource(client, "n1", sink, clock=clock).run())
        yield sink
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert sink.wrong == []


async def synced(sink: RecordingSink) -> None:
    await sink.until(lambda: {"=Service", "=EndpointSlice", "=Node"} <= set(sink.log))


async def test_state_and_changes(server: ApiServer, sink: RecordingSink) -> None:
    server.store.apply(service("a"))
    server.store.apply(service("other", 81, {"service.kubernetes.io/service-proxy-name": "else"}))
    server.store.apply(endpoint_slice("a", "10.1.0.1"))
    for name in ("n1", "n2"):
        server.store.apply(node(name))
    await synced(sink)
    assert set(sink.objects) == {(Service, "shop", "a"), (EndpointSlice, "shop", "a"), (Node, "", "n1")}

    server.store.apply(endpoint_slice("a", "10.1.0.1", "10.1.0.2"))
    server.store.apply(service("b", 82))
    server.store.apply(service("other", 81))
    server.store.delete("Service", "a", "shop")
    await sink.until(lambda: {"+b@", "+other@", "-a"} <= {line.rstrip("0123456789") for line in sink.log})
    await sink.until(lambda: len(_addresses(sink)) == 2)


async def test_server_that_restarts_loses_and_repeats_nothing(server: ApiServer, sink: RecordingSink) -> None:
    for name, port in (("a", 80), ("b", 81), ("c", 82)):
        server.store.apply(service(name, port))
    await synced(sink)
    await server.stop()
    server.store.delete("Service", "a", "shop")
    server.store.apply(service("b", 91))
    server.store.apply(service("d", 83))
    await server.start()
    await sink.until(lambda: sink.names == {"b", "c", "d"})
    await sink.until(lambda: len([line for line in sink.log if line.startswith("+b@")]) == 2)
    assert len([line for line in sink.log if line.startswith("+c@")]) == 1


async def test_server_that_has_forgotten_our_version(server: ApiServer, sink: RecordingSink) -> None:
    server.store.apply(service("a"))
    server.store.apply(service("z"))
    await synced(sink)
    await server.stop()
    server.store.delete("Service", "a", "shop")
    for name in "bcdefgh":
        server.store.apply(service(name))
    await server.start()
    await sink.until(lambda: sink.names == set("bcdefghz"))
    assert len([line for line in sink.log if line.startswith("+z@")]) == 1


async def test_many_objects(server: ApiServer, sink: RecordingSink) -> None:
    for number in range(1200):
        server.store.apply(endpoint_slice(f"s{number}", "10.1.0.1"))
    await synced(sink)
    await sink.until(lambda: len(sink.objects) == 1200)


def _addresses(sink: RecordingSink) -> list[str]:
    found = sink.objects[EndpointSlice, "shop", "a"]
    assert isinstance(found, EndpointSlice)
    return [address for endpoint in found.endpoints or [] for address in endpoint.addresses]
