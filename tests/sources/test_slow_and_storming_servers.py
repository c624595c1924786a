"""Servers that dribble, and servers that refuse everything: neither hangs the source nor makes it busy."""

import asyncio
import json

import pytest

from kproxy.sources.client import ApiClient
from kproxy.sources.connection import Connection
from kproxy.sources.credentials import StoredCredentials
from kproxy.sources.errors import TransportError
from kproxy.sources.pace import Pace
from kproxy.sources.reflector import ReflectorSettings
from kproxy.sources.tls import TlsTrust

from .api_objects import bookmark, event, items, service
from .conftest import Following
from .scripted_server import Exchange, ScriptedServer, Step, refuse, reply, stream
from .skipping_clock import SkippingClock

FIRST = (event("ADDED", service("a", 1)), bookmark(5, initial_end=True))
NO_STREAMED_LISTS = refuse(422, "Invalid", "sendInitialEvents: Forbidden")


def dribble(body: bytes, *, first: bytes = b"") -> Step:
    """Send a byte at a time, with a hundredth of a second between two."""

    async def step(exchange: Exchange) -> None:
        if first:
            await exchange.send(first)
        for number in range(len(body)):
            await exchange.send(body[number : number + 1])
            await asyncio.sleep(0.01)

    return step


async def test_list_that_comes_byte_by_byte_is_given_up(following: Following) -> None:
    whole = items(service("a", 1), version=5)
    await following.start(
        NO_STREAMED_LISTS,
        dribble(json.dumps(whole).encode()),
        reply(200, whole),
        settings=ReflectorSettings(idle=0.2, slowest=1000),
    )
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert len(following.clock.sleeps) == 1
    assert following.reflector is not None
    assert following.reflector.stats.failures == 1


async def test_streamed_list_that_comes_byte_by_byte_is_listed_by_pages(following: Following) -> None:
    await following.start(
        dribble(b"".join(FIRST)),
        reply(200, items(service("a", 1), version=5)),
        settings=ReflectorSettings(initial_idle=0.2),
    )
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert "watch" not in following.queries[1]


async def test_event_that_comes_byte_by_byte_is_watched_for_anew(following: Following) -> None:
    late = event("ADDED", service("b", 6))
    await following.start(dribble(late, first=b"".join(FIRST)), stream(late), settings=ReflectorSettings(idle=0.2))
    await following.sink.until(lambda: "+b@6" in following.sink.log)
    assert following.queries[1]["resourceVersion"] == "5"
    assert following.sink.log == ["+a@1", "=Service", "+b@6"]


async def test_answers_that_come_byte_by_byte_are_bounded_in_time(server: ScriptedServer) -> None:
    server.handler = dribble(b"{" + b" " * 1000)
    connection = Connection(server.url, TlsTrust(), StoredCredentials())
    async with ApiClient(connection, response_timeout=0.2) as client:
        with pytest.raises(TransportError, match=r"answer 200 broke off: not complete within 0\.2 s"):
            await client.post("/x", b"{}")


def test_pace_is_measured_in_stretches() -> None:
    clock = SkippingClock()
    pace = Pace(clock, slowest=100, window=10)
    pace.count(1)
    clock.skip(9)
    pace.count(1)
    clock.skip(1)
    pace.count(2000)
    clock.skip(11)
    with pytest.raises(TransportError, match="only 500 bytes came in 11 s"):
        pace.count(500)


@pytest.mark.parametrize("code", [410, 500, 503, 429])
async def test_storm_of_refusals_is_met_with_patience(following: Following, code: int) -> None:
    """Each request but the first few is paid for with a wait, and the waits grow to their ceiling."""
    following.server.handler = refuse(code, "Expired" if code == 410 else "Refused")
    await following.start()
    await following.server.seen(20)
    assert len(following.clock.sleeps) >= 20 - 4
    assert sum(following.clock.sleeps[-5:]) >= 5 * 15
    assert following.sink.log == []


async def test_watches_that_end_at_once_are_paid_for(following: Following) -> None:
    await following.start(stream(*FIRST, then="end"), *[stream(then="end")] * 12)
    await following.server.seen(12)
    assert len(following.clock.sleeps) >= 10
    assert following.sink.log == ["+a@1", "=Service"]


async def test_truncated_lists_are_begun_anew_with_patience(following: Following) -> None:
    whole = json.dumps(items(*(service(f"s{i}", i + 1) for i in range(50)), version=60), separators=(",", ":")).encode()
    cuts = (10, 200, len(whole) // 2, len(whole) - 1)
    truncated = [stream(whole[:cut], then=then) for cut in cuts for then in ("end", "reset")]
    await following.start(NO_STREAMED_LISTS, *truncated, stream(whole, then="end"))
    await following.sink.until(lambda: "=Service" in following.sink.log)
    assert len(following.sink.objects) == 50
    assert len(following.clock.sleeps) == 2 * len(cuts)
