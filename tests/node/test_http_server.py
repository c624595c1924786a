"""Ports that are busy, over real sockets."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import TypeAlias

import aiohttp
import pytest
from aiohttp import web

from kproxy.node.http_server import HttpServer

Make: TypeAlias = Callable[..., HttpServer]


@pytest.fixture
async def make(port: int) -> AsyncIterator[Make]:
    """Makes servers on a port that was free, and closes them at the end."""
    async with AsyncExitStack() as made:

        def server(host: str = "127.0.0.1", on_failure: Callable[[str], None] = lambda reason: None) -> HttpServer:
            server = HttpServer(application(), host, port, on_failure=on_failure, first_retry=0.02)
            made.push_async_callback(server.close)
            return server

        yield server


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def application() -> web.Application:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", answer)
    return app


async def ask(host: str, port: int) -> str | None:
    try:
        async with aiohttp.request("GET", f"http://{host}:{port}/") as answer:
            return await answer.text()
    except aiohttp.ClientConnectorError:
        return None


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
async def test_a_wildcard_is_for_both_families(make: Make, port: int, wildcard: str) -> None:
    await make(wildcard).start()
    assert await ask("127.0.0.1", port) == "here"
    assert await ask("[::1]", port) == "here"


async def test_an_address_is_only_itself(make: Make, port: int) -> None:
    server = make()
    await server.start()
    assert await ask("127.0.0.1", port) == "here"
    assert await ask("127.0.0.2", port) is None
    await server.close()
    assert await ask("127.0.0.1", port) is None
    await make().start()
    assert await ask("127.0.0.1", port) == "here"


async def test_a_busy_port_is_told_once_and_taken_when_free(
    make: Make, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    failures: list[str] = []
    with socket.create_server(("127.0.0.1", port)):
        await make(on_failure=failures.append).start()
        async with asyncio.timeout(5):
            while caplog.text.count("Still cannot listen") < 2:  # noqa: ASYNC110 - the log tells nobody
                await asyncio.sleep(0.01)
    async with asyncio.timeout(5):
        while await ask("127.0.0.1", port) != "here":  # noqa: ASYNC110 - the port tells nobody when it is taken
            await asyncio.sleep(0.01)
    assert failures == [f"cannot listen on 127.0.0.1:{port}: Address already in use"]
    assert f"Listening on 127.0.0.1:{port} now" in caplog.text


async def test_hard_fail_is_the_callers(make: Make, port: int) -> None:
    failures: list[str] = []
    with socket.create_server(("127.0.0.1", port)), pytest.raises(OSError, match=f"127.0.0.1:{port}: Address"):
        await make(on_failure=failures.append).start(hard_fail=True)
    assert len(failures) == 1


async def test_close_ends_what_is_tried_again(make: Make, port: int) -> None:
    tasks = asyncio.all_tasks()
    server = make()
    with socket.create_server(("127.0.0.1", port)):
        await server.start()
        assert len(asyncio.all_tasks()) == len(tasks) + 1
        await server.close()
    assert asyncio.all_tasks() == tasks
