"""Events, against the embedded API server."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kproxy.apiserver import ApiServer, Store
from kproxy.node import events
from kproxy.node.events import Event, EventRecorder
from kproxy.services.specification import ObjectReference
from kproxy.sources.client import ApiClient
from kproxy.sources.connection import Connection
from kproxy.sources.credentials import StoredCredentials
from kproxy.sources.errors import ApiError, TransportError
from kproxy.sources.tls import TlsTrust


class Api:
    """A server, a client of it, and a recorder that sends to it."""

    def __init__(self, server: ApiServer, client: ApiClient) -> None:
        self.server, self.client = server, client
        self.recorder = EventRecorder(
            client.post, "here", may_work_later=lambda error: isinstance(error, TransportError), pause=0.02
        )

    async def events(self, count: int, namespace: str = "default") -> list[dict[str, Any]]:
        """Wait for so many events."""
        path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
        async with asyncio.timeout(5):
            while True:
                with contextlib.suppress(TransportError):
                    async with self.client.get(path, {}) as answer:
                        body = b""
                        while chunk := await answer.read(5):
                            body += chunk
                        found: list[dict[str, Any]] = json.loads(body)["items"]
                        if len(found) >= count:
                            return found
                await asyncio.sleep(0.01)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with ApiServer(Store()) as server:
        connection = Connection(server.url, TlsTrust(), StoredCredentials())
        async with ApiClient(connection, qps=-1) as client:
            made = Api(server, client)
            running = asyncio.create_task(made.recorder.run())
            yield made
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


NODE = {"apiVersion": "v1", "kind": "Node", "name": "here", "uid": "here"}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            events.starting("here"),
            {"type": "Normal", "reason": "Starting", "action": "StartKubeProxy", "regarding": NODE},
        ),
        (
            events.health_server_failed("here", "cannot listen"),
            {
                "type": "Warning",
                "reason": "FailedToStartProxierHealthcheck",
                "action": "StartKubeProxy",
                "note": "cannot listen",
                "regarding": NODE,
            },
        ),
        (events.metrics_server_failed("here", "busy"), {"reason": "FailedToStartMetricServer", "regarding": NODE}),
        (
            events.service_health_failed("here", "default", "web", 30000, "Address already in use"),
            {
                "type": "Warning",
                "reason": "FailedToStartServiceHealthcheck",
                "action": "Listen",
                "note": 'node here failed to start healthcheck "default/web" on port 30000: Address already in use',
                "regarding": {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "namespace": "default",
                    "name": "web",
                    "uid": "default/web",
                },
            },
        ),
        (
            events.conntrack_limits_failed("here", "too low", read_only=True),
            {"reason": "readOnlySysFS", "action": "StartKubeProxy", "note": "too low", "regarding": NODE},
        ),
        (
            events.conntrack_limits_failed("here", "too low", read_only=False),
            {"reason": "FailedToSetConntrackLimits", "regarding": NODE},
        ),
    ],
)
async def test_what_the_api_has_of_an_event(api: Api, event: Event, expected: dict[str, object]) -> None:
    api.recorder.record(event)
    (stored,) = await api.events(1)
    assert {name: stored.get(name) for name in expected} == expected
    assert stored["reportingController"] == "kube-proxy"
    assert stored["reportingInstance"] == "kube-proxy-here"
    assert stored["metadata"]["name"].startswith(f"{event.regarding.name}.")
    assert stored["eventTime"].endswith("Z")


async def test_an_event_about_a_service_is_in_its_namespace(api: Api) -> None:
    api.server.store.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    slice_ = ObjectReference("EndpointSlice", "shop", "web-1")
    api.recorder.record(Event(slice_, "LeftOut", "x" * 5000))
    (stored,) = await api.events(1, "shop")
    assert stored["regarding"]["apiVersion"] == "discovery.k8s.io/v1"
    assert len(stored["note"]) == 1024


async def test_while_the_api_is_away_events_wait(api: Api) -> None:
    await api.server.stop()
    api.recorder.record(events.starting("here"))
    api.recorder.record(events.health_server_failed("here", "busy"))
    await asyncio.sleep(0.05)
    await api.server.start()
    assert {event["reason"] for event in await api.events(2)} == {"Starting", "FailedToStartProxierHealthcheck"}


class Refusing:
    """An API that refuses a number of requests."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.times = error, times
        self.attempts = 0
        self.done = asyncio.Event()

    async def post(self, path: str, body: bytes) -> None:
        self.attempts += 1
        if b"Last" in body:
            self.done.set()
        elif self.attempts <= self.times:
            raise self.error


@pytest.mark.parametrize(
    ("error", "attempts"), [(TransportError("no route"), 12), (ApiError(403, "Forbidden", "may not"), 1)]
)
async def test_what_the_api_refuses_is_given_up(
    error: Exception, attempts: int, caplog: pytest.LogCaptureFixture
) -> None:
    api = Refusing(error, 1000)
    later: Callable[[Exception], bool] = lambda error: isinstance(error, TransportError)  # noqa: E731
    recorder = EventRecorder(api.post, "here", may_work_later=later, pause=0)
    recorder.record(events.starting("here"))
    recorder.record(Event(ObjectReference("Node", "", "here"), "Last", ""))
    running = asyncio.create_task(recorder.run())
    await asyncio.wait_for(api.done.wait(), 5)
    running.cancel()
    assert api.attempts == attempts + 1
    assert caplog.text.count("could not be sent") == 1


async def test_no_more_wait_than_there_is_room_for(caplog: pytest.LogCaptureFixture) -> None:
    recorder = EventRecorder(Refusing(ValueError(), 0).post, "here")
    for _ in range(300):
        recorder.record(events.starting("here"))
    assert caplog.text.count("An event is dropped") == 300 - 256
