"""Requests: what they carry, how many there may be, and how they fail."""

import asyncio

import pytest

from kproxy import __version__
from kproxy.sources.client import ApiClient
from kproxy.sources.connection import Connection
from kproxy.sources.credentials import StoredCredentials
from kproxy.sources.errors import ApiError, IdleTimeoutError, TransportError
from kproxy.sources.rate_limit import TokenBucket
from kproxy.sources.secret_content import InlineContent
from kproxy.sources.tls import TlsTrust

from .scripted_server import Exchange, ScriptedServer, refuse, reply
from .skipping_clock import SkippingClock


def connection(server: ScriptedServer, token: bytes = b"t", proxy: str | None = None) -> Connection:
    credentials = StoredCredentials(bearer=InlineContent(token, "test"))
    return Connection(server.url, TlsTrust(), credentials, proxy=proxy)


async def test_post_and_what_every_request_carries(server: ScriptedServer) -> None:
    server.script("/api/v1/namespaces/default/events", reply(201, {"kind": "Event"}))
    counted: list[tuple[str, str, str]] = []
    async with ApiClient(connection(server), on_request=lambda *seen: counted.append(seen)) as client:
        assert await client.post("/api/v1/namespaces/default/events", b'{"a":1}') == b'{"kind":"Event"}'
    (request,) = server.requests
    assert request.method == "POST"
    assert request.body == b'{"a":1}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Bearer t"
    assert request.headers["user-agent"].startswith(f"kproxy/{__version__} (linux/")
    assert counted == [("201", "POST", server.url.removeprefix("http://"))]


async def test_answers_and_their_absence_are_counted(server: ScriptedServer) -> None:
    counted: list[str] = []
    server.script("/x", refuse(404, "NotFound", "no such thing"), refuse(307, "", ""), reply(200, {}))
    async with ApiClient(connection(server), on_request=lambda code, *_: counted.append(code)) as client:
        for expected in (404, 307):
            with pytest.raises(ApiError) as caught:
                await client.post("/x", b"{}")
            assert caught.value.code == expected
        await client.post("/x", b"{}")
    unreachable = Connection("http://127.0.0.1:9", TlsTrust(), StoredCredentials())
    async with ApiClient(unreachable, on_request=lambda code, *_: counted.append(code)) as client:
        with pytest.raises(TransportError, match=r"POST http://127\.0\.0\.1:9/x: "):
            await client.post("/x", b"{}")
    assert counted == ["404", "307", "200", "<error>"]


async def test_page_that_is_no_status_is_shown_in_part(server: ScriptedServer) -> None:
    server.handler = lambda exchange: exchange.answer(502, b"<html>Bad gateway</html>" * 1000)
    async with ApiClient(connection(server)) as client:
        with pytest.raises(ApiError, match="502: <html>Bad gateway<") as caught:
            await client.post("/x", b"{}")
    assert len(str(caught.value)) < 300


async def test_connection_is_used_again(server: ScriptedServer) -> None:
    peers = set()

    async def answer(exchange: Exchange) -> None:
        peers.add(exchange.writer.get_extra_info("peername"))
        await exchange.json(200, {})

    server.handler = answer
    async with ApiClient(connection(server)) as client:
        for _ in range(5):
            await client.post("/x", b"{}")
    assert len(peers) == 1


async def test_watches_pass_the_rate_limit(server: ScriptedServer) -> None:
    clock = SkippingClock()
    server.handler = reply(200, {})
    async with ApiClient(connection(server), qps=1, burst=2, clock=clock) as client:
        for _ in range(4):
            await client.post("/x", b"{}")
        for _ in range(5):
            async with client.watch("/x", {}) as body:
                await body.read(5)
    assert clock.sleeps == pytest.approx([1, 1], abs=0.2)


async def test_token_bucket_serves_in_order_at_its_rate() -> None:
    class Standing(SkippingClock):
        def monotonic(self) -> float:
            return 100.0

    clock = Standing()
    bucket = TokenBucket(clock, qps=5, burst=10)
    await asyncio.gather(*(bucket.acquire() for _ in range(15)))
    assert clock.sleeps == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    unlimited = TokenBucket(clock, qps=-1, burst=1)
    for _ in range(100):
        await unlimited.acquire()
    assert len(clock.sleeps) == 5


async def test_rate_may_change_while_requests_wait() -> None:
    class Standing(SkippingClock):
        def monotonic(self) -> float:
            return 100.0

    clock = Standing()
    bucket = TokenBucket(clock, qps=1, burst=1)
    for _ in range(3):
        await bucket.acquire()
    bucket.set_rate(10, 5)
    await bucket.acquire()
    assert clock.sleeps == pytest.approx([1, 2, 0.3])
    bucket.set_rate(0, 5)
    await bucket.acquire()
    assert len(clock.sleeps) == 3


async def test_protobuf_falls_back_to_json_with_a_word(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.handler = reply(200, {})
    with caplog.at_level("INFO"):
        async with ApiClient(connection(server), content_type="application/vnd.kubernetes.protobuf") as client:
            await client.post("/x", b"{}")
    assert caplog.messages == ["Speaking JSON with the API server, not application/vnd.kubernetes.protobuf"]
    assert server.requests[0].headers["accept"] == "application/json"
    caplog.clear()
    async with ApiClient(connection(server), content_type="application/json"):
        assert caplog.messages == []


async def test_reading_may_go_on_after_silence(server: ScriptedServer) -> None:
    released = asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await exchange.send(b"first")
        await released.wait()
        await exchange.send(b"second")
        await exchange.end()

    server.script("/x", late)
    async with ApiClient(connection(server)) as client, client.watch("/x", {}) as body:
        assert await body.read(5) == b"first"
        with pytest.raises(IdleTimeoutError):
            await body.read(0.05)
        released.set()
        assert await body.read(5) == b"second"
        assert await body.read(5) == b""


async def test_proxy_gets_the_request(server: ScriptedServer) -> None:
    server.script("/x", reply(200, {}))
    behind = Connection("http://api.invalid", TlsTrust(), StoredCredentials(), proxy=server.url)
    async with ApiClient(behind) as client:
        await client.post("/x", b"{}")
    assert server.requests[0].headers["host"] == "api.invalid"


async def test_leaving_a_watch_closes_its_connection(server: ScriptedServer) -> None:
    left = asyncio.Event()

    async def watch(exchange: Exchange) -> None:
        await exchange.send(b"x")
        await exchange.hold()
        left.set()

    server.script("/x", watch)
    async with ApiClient(connection(server)) as client:
        async with client.watch("/x", {}) as body:
            await body.read(5)
        async with asyncio.timeout(5):
            await left.wait()
