"""The three kinds together, and a server at its worst."""

import asyncio
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from kproxy.config import KubeProxyConfiguration, parse_command_line
from kproxy.config.defaults import effective
from kproxy.services.objects import EndpointSlice, Node, Service
from kproxy.sources.client import ApiClient
from kproxy.sources.connection import Connection
from kproxy.sources.credentials import StoredCredentials
from kproxy.sources.kubernetes import KubernetesSource, reflector_settings
from kproxy.sources.reflector import Reflector, ReflectorSettings
from kproxy.sources.resource import SERVICES
from kproxy.sources.tls import TlsTrust

from .api_objects import JsonObject, bookmark, endpoint_slice, event, items, service, status
from .property_settings import patient
from .recording_sink import RecordingSink
from .scripted_server import Exchange, ScriptedServer, refuse, reply, scripted_server, stream
from .skipping_clock import SkippingClock


async def test_all_kinds_with_their_selectors(server: ScriptedServer) -> None:
    node = {
        "metadata": {"name": "n1", "resourceVersion": "3", "labels": {"topology.kubernetes.io/zone": "a"}},
        "spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24"]},
    }
    slices = "/apis/discovery.k8s.io/v1/endpointslices"
    server.script("/api/v1/services", stream(event("ADDED", service("a", 1)), bookmark(1, initial_end=True)))
    server.script(slices, stream(event("ADDED", endpoint_slice("a", 2)), bookmark(2, initial_end=True)))
    server.script("/api/v1/nodes", stream(event("ADDED", node), bookmark(3, initial_end=True)))
    sink = RecordingSink()
    async with ApiClient(Connection(server.url, TlsTrust(), StoredCredentials())) as client:
        source = KubernetesSource(client, "n1", sink)
        task = asyncio.create_task(source.run())
        await sink.until(lambda: {"=Service", "=EndpointSlice", "=Node"} <= set(sink.log))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert task.cancelled()
    assert {kind for kind, _, _ in sink.objects} == {Service, EndpointSlice, Node}
    found = sink.objects[Node, "", "n1"]
    assert found.metadata.labels == {"topology.kubernetes.io/zone": "a"}
    by_path = {request.path: request.query for request in server.requests}
    ours = "!service.kubernetes.io/headless,!service.kubernetes.io/service-proxy-name"
    assert by_path["/api/v1/services"]["labelSelector"] == by_path[slices]["labelSelector"] == ours
    assert by_path["/api/v1/nodes"]["fieldSelector"] == "metadata.name=n1"
    assert "labelSelector" not in by_path["/api/v1/nodes"]
    assert [reflector.stats.events for reflector in source.reflectors] == [2, 2, 2]


def test_configuration_says_how_the_api_is_followed() -> None:
    assert reflector_settings(effective(KubeProxyConfiguration())) == ReflectorSettings()
    given = parse_command_line(["--config-sync-period=1m", "--feature-gates=WatchListClient=false"])
    assert reflector_settings(given.configuration) == ReflectorSettings(watch_seconds=(20, 40), stream_lists=False)
    brief = parse_command_line(["--config-sync-period=1s"]).configuration
    assert reflector_settings(brief).watch_seconds == (5, 5)


async def test_without_the_feature_gate_lists_are_not_streamed(server: ScriptedServer) -> None:
    one = items(service("a", 1), version=7)
    server.script(SERVICES.path, reply(200, one), refuse(410, "Expired"), reply(200, one))
    sink, clock = RecordingSink(), SkippingClock()
    async with ApiClient(Connection(server.url, TlsTrust(), StoredCredentials()), clock=clock) as client:
        source = KubernetesSource(client, "n1", sink, clock=clock, settings=ReflectorSettings(stream_lists=False))
        task = asyncio.create_task(source.reflectors[0].run())
        await server.seen(2)
        source.set_settings(ReflectorSettings(watch_seconds=(20, 20)))
        await server.seen(4)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    first, watch, relist, *_ = [request.query for request in server.requests]
    assert "watch" not in first
    assert first["resourceVersion"] == "0"
    assert "sendInitialEvents" not in watch
    assert relist["sendInitialEvents"] == "true"
    assert relist["timeoutSeconds"] == "20"


class UnreliableApi:
    """Serves a history of changes truthfully, but for the faults it is given, one a request, while they last."""

    def __init__(self, changes: list[tuple[str, bool]], faults: list[str], *, streams_lists: bool) -> None:
        self._changes = changes
        self._faults = faults
        self._streams_lists = streams_lists
        self._now = len(changes) // 3

    def state(self, version: int) -> dict[str, JsonObject]:
        state: dict[str, JsonObject] = {}
        for number, (name, exists) in enumerate(self._changes[:version], start=1):
            state.pop(name, None)
            if exists:
                state[name] = service(name, number)
        return state

    async def __call__(self, exchange: Exchange) -> None:
        fault = self._faults.pop(0) if self._faults else ""
        # The world goes on between requests; without faults left, to its end.
        self._now = len(self._changes) if not self._faults else min(self._now + 2, len(self._changes))
        query = exchange.request.query
        if fault in {"410", "500", "429"}:
            code = int(fault)
            return await exchange.json(code, status(code, "Expired" if code == 410 else "Trouble"))
        if not exchange.request.is_watch:
            return await self._list(exchange, query.get("continue", ""), fault)
        streamed = "sendInitialEvents" in query
        if streamed and not self._streams_lists:
            return await exchange.json(422, status(422, "Invalid"))
        lines = [event("ADDED", obj) for obj in self.state(self._now).values()] if streamed else []
        lines += [bookmark(self._now, initial_end=True)] if streamed else self._events(int(query["resourceVersion"]))
        return await self._stream(exchange, b"".join(lines), fault)

    async def _list(self, exchange: Exchange, token: str, fault: str) -> None:
        start, version = (int(part) for part in token.split(".")) if token else (0, self._now)
        objects = list(self.state(version).values())
        following = f"{start + 2}.{version}" if start + 2 < len(objects) else ""
        if fault == "error" and token:
            return await exchange.json(410, status(410, "Expired"))
        if fault in {"reset", "half"}:
            await exchange.send(b'{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"na')
            return await (exchange.reset() if fault == "reset" else exchange.end())
        return await exchange.json(200, items(*objects[start : start + 2], version=max(version, 1), token=following))

    def _events(self, since: int) -> list[bytes]:
        lines = []
        for number in range(since + 1, self._now + 1):
            name, exists = self._changes[number - 1]
            if exists:
                lines.append(event("MODIFIED" if name in self.state(number - 1) else "ADDED", service(name, number)))
            elif name in self.state(number - 1):
                lines.append(event("DELETED", service(name, number)))
        return lines

    async def _stream(self, exchange: Exchange, lines: bytes, fault: str) -> None:
        if fault == "error":
            lines += event("ERROR", status(410, "Expired"))
        if fault == "garbage":
            lines += b"{]\n"
        if fault == "half":
            lines = lines[: len(lines) * 2 // 3]
        await exchange.send(*(lines[start : start + 70] for start in range(0, len(lines), 70)))
        if not fault:
            return await exchange.hold()
        return await (exchange.reset() if fault == "reset" else exchange.end())


names = st.sampled_from(["a", "b", "c", "d", "e", "f", "g"])
faults = st.sampled_from(["410", "500", "429", "reset", "half", "error", "garbage", "end"])


@settings(patient, max_examples=150)
@given(
    st.lists(st.tuples(names, st.booleans()), min_size=10, max_size=30),
    st.lists(faults, min_size=2, max_size=12),
    st.booleans(),
)
def test_nothing_is_lost_or_told_twice(changes: list[tuple[str, bool]], faults: list[str], streams_lists: bool) -> None:
    asyncio.run(_follow(UnreliableApi(changes, faults, streams_lists=streams_lists), len(changes)))


async def _follow(api: UnreliableApi, end: int) -> None:
    expected = {name: obj["metadata"]["resourceVersion"] for name, obj in api.state(end).items()}
    sink, clock = RecordingSink(), SkippingClock()
    async with scripted_server() as server:
        server.handler = api
        async with ApiClient(Connection(server.url, TlsTrust(), StoredCredentials()), clock=clock) as client:
            task = asyncio.create_task(Reflector(SERVICES, client, sink, clock=clock).run())
            arrival = asyncio.create_task(sink.until(lambda: "=Service" in sink.log and sink.versions == expected))
            done, _ = await asyncio.wait({task, arrival}, return_when=asyncio.FIRST_COMPLETED)
            for finished in done:
                finished.result()
            task.cancel()
            await asyncio.wait({task})
    assert sink.wrong == []
