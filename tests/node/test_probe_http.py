"""Requests as they come from well-behaved and other clients, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from kproxy.node import probe_http
from kproxy.node.probe_http import ProbeConnection, ProbeConnections, Response

MOST = 4


class Served:
    """A server and what counts its connections."""

    def __init__(self) -> None:
        self.connections = ProbeConnections(MOST)
        self.response: Response | None = Response(HTTPStatus.OK, {"X-One": "1"}, b"body")
        self.port = 0

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def exchange(self, *parts: bytes) -> bytes:
        """Send, a part at a time, and read until the server closes."""
        reader, writer = await self.connect()
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            try:
                answer = await reader.read()
            except ConnectionResetError:
                answer = b"reset"
        writer.close()
        return answer


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ProbeConnection(made.connections, lambda: made.response), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    made.connections.abort()


def status(answer: bytes) -> bytes:
    return answer.split(b"\r\n", 1)[0]


async def test_a_response_to_the_byte(served: Served) -> None:
    head, _, body = (await served.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    assert first == b"HTTP/1.1 200 OK"
    assert fields[0] == b"X-One: 1"
    assert fields[1].startswith(b"Date: ")
    assert fields[1].endswith(b" GMT")
    assert fields[2:] == [b"Content-Length: 4", b"Connection: close"]
    assert body == b"body"


@pytest.mark.parametrize("request_line", [b"GET /any/path?x=1", b"POST /", b"OPTIONS *"])
async def test_any_method_and_path(served: Served, request_line: bytes) -> None:
    for version in (b"1.0", b"1.1"):
        answer = await served.exchange(request_line + b" HTTP/" + version + b"\r\n\r\n")
        assert answer.endswith(b"\r\n\r\nbody")


async def test_a_head_request_has_no_body_but_its_length(served: Served) -> None:
    answer = await served.exchange(b"HEAD / HTTP/1.1\r\n\r\n")
    assert b"Content-Length: 4\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


async def test_a_request_in_pieces(served: Served) -> None:
    request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = await served.exchange(*(request[i : i + 1] for i in range(len(request))))
    assert status(answer) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"G\xffT / HTTP/1.1\r\n\r\n",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + 9000 * b"x",
        b"GET / HTTP/1.1\r\nX: " + 9000 * b"x" + b"\r\n\r\n",
    ],
)
async def test_garbage_is_refused(served: Served, garbage: bytes) -> None:
    assert status(await served.exchange(garbage)) == b"HTTP/1.1 400 Bad Request"


async def test_nothing_to_say(served: Served) -> None:
    served.response = None
    assert await served.exchange(b"GET / HTTP/1.1\r\n\r\n") == b""


async def test_a_client_that_never_finishes_is_let_go(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_http, "_PATIENCE", 0.05)
    assert await served.exchange(b"GET / HTT") in (b"", b"reset")


async def test_no_more_than_so_many_at_a_time(served: Served) -> None:
    idle = [await served.connect() for _ in range(MOST)]
    assert await served.exchange(b"GET / HTTP/1.1\r\n\r\n") in (b"", b"reset")
    idle[0][1].close()
    async with asyncio.timeout(5):
        while status(await served.exchange(b"GET / HTTP/1.1\r\n\r\n")) != b"HTTP/1.1 200 OK":
            pass
    for reader, writer in idle[1:]:
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert status(await reader.read()) == b"HTTP/1.1 200 OK"
        writer.close()
