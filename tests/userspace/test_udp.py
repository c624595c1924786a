"""UDP through workers: flows, their ends, and endpoints that are not there."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from kproxy.backends.userspace.options import Limits
from kproxy.services.objects import EndpointSlice
from tests.userspace.endpoints import answering, refusing
from tests.userspace.local_proxy import PATIENCE, LocalProxy, running, web


class Client:
    """A socket that asks and waits for the answer."""

    def __init__(self, proxy: LocalProxy) -> None:
        host, port = proxy.address()
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect((host, port))

    async def ask(self, question: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            await loop.sock_sendall(self._socket, question)
            return await loop.sock_recv(self._socket, 1 << 16)

    def close(self) -> None:
        self._socket.close()


@contextlib.asynccontextmanager
async def client(proxy: LocalProxy) -> AsyncIterator[Client]:
    made = Client(proxy)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("family", [4, 6])
async def test_a_flow_stays_with_its_endpoint(family: int) -> None:
    host = "127.0.0.1" if family == 4 else "::1"
    async with answering("a", host) as a, answering("b", host) as b:
        objects = web([a, b], protocol="UDP", family=family)
        async with running(*objects, families=[family]) as proxy, client(proxy) as first, client(proxy) as second:
            answers = [await first.ask(b"?") for _ in range(3)] + [await second.ask(b"?") for _ in range(3)]
            assert sorted({answers[0], answers[3]}) == [b"a ?", b"b ?"]
            assert answers == [answers[0]] * 3 + [answers[3]] * 3
            assert await proxy.metric("connections", protocol="UDP") == 2


async def test_the_largest_datagram_fits() -> None:
    async with answering("a") as port, running(*web([port], protocol="UDP")) as proxy, client(proxy) as asking:
        question = bytes(65_000)
        assert await asking.ask(question) == b"a " + question


async def test_a_silent_flow_ends() -> None:
    limits = Limits(connections=100, udp_idle_seconds=0.2)
    async with answering("a") as port, running(*web([port], protocol="UDP"), limits=limits) as proxy:
        at_rest = proxy.descriptors()
        async with client(proxy) as asking:
            await asking.ask(b"?")
            await proxy.until(lambda value: value == 0, "connections", protocol="UDP")
            assert proxy.descriptors() == at_rest
            assert await asking.ask(b"again?") == b"a again?"


async def test_beyond_the_limit_the_one_silent_for_longest_gives_way() -> None:
    limits = Limits(connections=100, flows=3)
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(answering("a"))
        proxy = await stack.enter_async_context(running(*web([port], protocol="UDP"), limits=limits))
        for _ in range(5):
            asking = await stack.enter_async_context(client(proxy))
            assert await asking.ask(b"?") == b"a ?"
        assert await proxy.metric("connections", protocol="UDP") == 3
        assert await proxy.metric("limit_reached_total", limit="flows") == 2


async def test_where_nobody_is_the_next_endpoint_gets_the_datagram() -> None:
    async with answering("good") as good:
        with refusing(socket.SOCK_DGRAM) as bad:
            async with running(*web([good, bad], protocol="UDP")) as proxy:
                for _ in range(6):
                    async with client(proxy) as asking:
                        assert await asking.ask(b"?") == b"good ?"
                assert await proxy.metric("endpoints_failing") == 1


async def test_a_removed_endpoint_loses_its_flows() -> None:
    async with contextlib.AsyncExitStack() as stack:
        old = await stack.enter_async_context(answering("old"))
        new = await stack.enter_async_context(answering("new"))
        proxy = await stack.enter_async_context(running(*web([old], protocol="UDP")))
        asking = await stack.enter_async_context(client(proxy))
        assert await asking.ask(b"?") == b"old ?"
        await proxy.apply(*web([new], protocol="UDP"))
        await proxy.remove(EndpointSlice, f"web-{old}")
        assert await asking.ask(b"?") == b"new ?"
