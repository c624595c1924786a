"""TCP through workers: streams arrive whole, whatever endpoints do."""

import asyncio
import collections
import contextlib
import socket

import pytest

from kproxy.backends.userspace.options import Limits
from kproxy.services.objects import EndpointSlice
from tests.userspace.endpoints import echo, hanging, naming, refusing, reset, reset_in_mid_stream, serving
from tests.userspace.local_proxy import NO_LIMITS, PATIENCE, running, web

LARGE = bytes(range(256)) * (8 << 12)
"""8 MiB: more than buffers and a pipe hold."""


@pytest.mark.parametrize("family", [4, 6])
async def test_both_directions_at_once(family: int) -> None:
    host = "127.0.0.1" if family == 4 else "::1"
    async with serving(echo, host) as port, running(*web([port], family=family), families=[family]) as proxy:
        reader, writer = await proxy.connect()

        async def send() -> None:
            writer.write(LARGE)
            await writer.drain()
            writer.write_eof()

        async with asyncio.timeout(PATIENCE):
            _, received = await asyncio.gather(send(), reader.read())
        writer.close()
        assert received == LARGE


async def test_without_pipes_everything_is_copied() -> None:
    async with serving(echo) as port, running(*web([port]), limits=Limits(connections=100, pipes=0)) as proxy:
        assert await proxy.ask(LARGE[: 1 << 20]) == LARGE[: 1 << 20]
        assert await proxy.metric("limit_reached_total", limit="pipes") > 0


async def test_half_close_of_the_client_and_of_the_endpoint() -> None:
    ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def says_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"that is all from me")
        writer.write_eof()
        ended.set_result(await reader.read())

    async with asyncio.timeout(PATIENCE), serving(says_first) as port, running(*web([port])) as proxy:
        reader, writer = await proxy.connect()
        assert await reader.read() == b"that is all from me"
        writer.write(b"but I go on")
        writer.write_eof()
        assert await ended == b"but I go on"
        writer.close()


async def test_endpoints_take_turns() -> None:
    async with contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(serving(naming(name))) for name in "abc"]
        proxy = await stack.enter_async_context(running(*web(ports)))
        rounds = [sorted([await proxy.ask() for _ in ports]) for _ in range(10)]
        assert rounds == [[b"a", b"b", b"c"]] * 10


async def test_a_client_stays_with_its_endpoint() -> None:
    async with contextlib.AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(serving(naming(name))) for name in "abc"]
        proxy = await stack.enter_async_context(running(*web(ports, sessionAffinity="ClientIP"), workers=2))
        assert len({await proxy.ask() for _ in range(20)}) == 1


async def test_an_endpoint_that_refuses_is_skipped_within_the_connection() -> None:
    async with serving(naming("good")) as good:
        with refusing() as bad:
            async with running(*web([good, bad])) as proxy:
                assert [await proxy.ask() for _ in range(20)] == [b"good"] * 20
                assert await proxy.metric("connect_retries_total") >= 1
                assert await proxy.metric("endpoints_failing") == 1


async def test_an_endpoint_that_hangs_is_given_up_in_time() -> None:
    async with serving(naming("good")) as good:
        with hanging() as bad:
            async with running(*web([good, bad]), limits=Limits(connections=100, connect_seconds=0.3)) as proxy:
                assert [await proxy.ask() for _ in range(10)] == [b"good"] * 10
                assert await proxy.metric("connect_attempts_failed_total", reason="timeout") >= 1


async def test_an_endpoint_that_comes_back_is_used_again() -> None:
    answers: list[bytes] = []
    async with serving(naming("steady")) as steady:
        with refusing() as port:
            async with running(*web([steady, port])) as proxy:
                while await proxy.metric("endpoints_failing") == 0:
                    await proxy.ask()
        # `refusing` has let the port go only now, so the proxy is a new one that has to learn of the failure itself.
        async with running(*web([steady, port])) as proxy:
            while await proxy.metric("endpoints_failing") == 0:
                await proxy.ask()
            server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
            async with asyncio.timeout(PATIENCE):
                while b"" not in answers:
                    answers.append(await proxy.ask())
            assert await proxy.metric("endpoints_failing") == 0
            server.close()


async def test_without_a_usable_endpoint_the_client_is_refused() -> None:
    with refusing() as bad:
        async with running(*web([bad])) as proxy:
            with pytest.raises(ConnectionError):
                await proxy.ask(b"anybody?")
            assert await proxy.metric("connections_refused_total", reason="no_endpoint") >= 1


async def test_a_reset_in_mid_stream_arrives_as_one() -> None:
    async with asyncio.timeout(PATIENCE), serving(reset_in_mid_stream) as port, running(*web([port])) as proxy:
        reader, writer = await proxy.connect()
        assert await reader.readexactly(10) == b"half of it"
        writer.write(b"?")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await proxy.until(lambda value: value == 0, "connections", protocol="TCP")
        assert await proxy.metric("resets_total") == 1


async def test_a_clients_reset_reaches_the_endpoint() -> None:
    noticed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1)
            await reader.read(1)
        except ConnectionResetError as error:
            noticed.set_result(error)

    async with asyncio.timeout(PATIENCE), serving(serve) as port, running(*web([port])) as proxy:
        _, writer = await proxy.connect()
        writer.write(b"x")
        await writer.drain()
        await proxy.until(lambda value: value >= 1, "forwarded_bytes_total")
        reset(writer)
        assert isinstance(await noticed, ConnectionResetError)


async def test_what_an_endpoint_said_before_it_refused_more_arrives() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"413 too large")
        await writer.drain()
        writer.close()

    async with asyncio.timeout(PATIENCE), serving(rude) as port, running(*web([port])) as proxy:
        reader, writer = await proxy.connect()
        answer = await reader.readexactly(13)
        with contextlib.suppress(ConnectionError):
            writer.write(LARGE)
            await writer.drain()
        writer.close()
        assert answer == b"413 too large"
        await proxy.until(lambda value: value == 0, "connections", protocol="TCP")


async def test_a_slow_reader_holds_the_sender_back() -> None:
    sent = collections.Counter[str]()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(bytes(1 << 18))
            await writer.drain()
            sent["bytes"] += 1 << 18

    async with serving(flood) as port, running(*web([port])) as proxy:
        before = proxy.resident()
        with socket.create_connection(proxy.address()) as client:
            client.setblocking(False)
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().sock_recv(client, 1)
                stalled, last = 0, -1
                while stalled < 5:
                    await asyncio.sleep(0.05)
                    stalled, last = (stalled + 1, last) if sent["bytes"] == last else (0, sent["bytes"])
            assert sent["bytes"] < 64 << 20
            assert proxy.resident() - before < 4 << 20


async def test_connections_of_a_removed_endpoint_go_on() -> None:
    async with contextlib.AsyncExitStack() as stack:
        old = await stack.enter_async_context(serving(echo))
        new = await stack.enter_async_context(serving(naming("new")))
        proxy = await stack.enter_async_context(running(*web([old])))
        await stack.enter_async_context(asyncio.timeout(PATIENCE))
        reader, writer = await proxy.connect()
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        await proxy.apply(*web([new]))
        await proxy.remove(EndpointSlice, f"web-{old}")
        assert await proxy.ask() == b"new"
        writer.write(b"after")
        assert await reader.readexactly(5) == b"after"
        writer.close()


async def test_idle_connections_hold_no_pipe() -> None:
    async with asyncio.timeout(PATIENCE), serving(echo) as port, running(*web([port]), limits=NO_LIMITS) as proxy:
        at_rest = proxy.descriptors()
        pairs = [await proxy.connect() for _ in range(20)]
        for reader, writer in pairs:
            writer.write(b"x")
            await reader.readexactly(1)
        assert proxy.descriptors() == at_rest + 2 * len(pairs)
        for _, writer in pairs:
            writer.close()
        await proxy.until(lambda value: value == 0, "connections", protocol="TCP")
        assert proxy.descriptors() == at_rest


async def test_an_endpoint_that_speaks_first_and_much_is_heard() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(LARGE)

    async with serving(flood) as port, running(*web([port])) as proxy:
        for _ in range(20):
            async with asyncio.timeout(PATIENCE):
                reader, writer = await proxy.connect()
                assert len(await reader.read(1)) == 1
                writer.close()
