"""An HTTP/1.1 server that does as each test says, the forbidden included."""

import asyncio
import json
import socket
import ssl
import struct
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .api_objects import status


@dataclass(slots=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") == "true"


@dataclass(slots=True)
class Exchange:
    """One request and the means to answer it; an answer that is begun goes out chunked."""

    request: Request
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    closed: bool = False
    _begun: bool = False

    async def json(self, code: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(content, separators=(",", ":")).encode()
        await self.answer(code, body, {"Content-Type": "application/json"} | dict(headers or {}))

    async def answer(self, code: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        lines = [f"HTTP/1.1 {code} X", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        await self.writer.drain()

    async def send(self, *pieces: bytes) -> None:
        if not self._begun:
            self._begun = True
            self.writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            )
        for piece in pieces:
            if piece:
                self.writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await self.writer.drain()

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()

    async def reset(self) -> None:
        """Close with a TCP RST, after what was written has left."""
        await asyncio.sleep(0.01)
        self.closed = True
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def hold(self) -> None:
        """Stay silent until the client leaves."""
        await self.reader.read(1)
        self.closed = True


Step = Callable[[Exchange], Awaitable[None]]


def reply(code: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Step:
    async def step(exchange: Exchange) -> None:
        await exchange.json(code, content, headers)

    return step


def refuse(code: int, reason: str, message: str = "so it is", headers: Mapping[str, str] | None = None) -> Step:
    return reply(code, status(code, reason, message), headers)


def stream(*pieces: bytes, then: str = "hold") -> Step:
    """Send pieces of a body, then `hold`, `end` or `reset`."""

    async def step(exchange: Exchange) -> None:
        await exchange.send(*pieces)
        await {"hold": exchange.hold, "end": exchange.end, "reset": exchange.reset}[then]()

    return step


async def never(exchange: Exchange) -> None:
    """Take the request and say nothing."""
    await exchange.hold()


@dataclass(slots=True)
class ScriptedServer:
    """Each path has steps, one a request; after the last, lists are refused and watches are silent."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    handler: Step | None = None
    _scripts: dict[str, deque[Step]] = field(default_factory=lambda: defaultdict(deque))
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def script(self, path: str, *steps: Step) -> None:
        self._scripts[path].extend(steps)

    async def seen(self, count: int) -> None:
        """Wait until so many requests have come."""
        async with asyncio.timeout(10):
            while len(self.requests) < count:
                self._arrived.clear()
                await self._arrived.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                self._arrived.set()
                exchange = Exchange(request, reader, writer)
                await self._step(request)(exchange)
                if exchange.closed:
                    break
        except (ConnectionError, asyncio.CancelledError, ssl.SSLError):
            pass
        except Exception as error:
            self.failures.append(error)
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    def _step(self, request: Request) -> Step:
        if self.handler is not None:
            return self.handler
        steps = self._scripts[request.path]
        if steps:
            return steps.popleft()
        return stream() if request.is_watch else refuse(500, "InternalError", "nothing left in the script")


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    parts = urlsplit(target)
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, parts.path, dict(parse_qsl(parts.query)), headers, body)


@asynccontextmanager
async def scripted_server(tls: ssl.SSLContext | None = None) -> AsyncIterator[ScriptedServer]:
    script = ScriptedServer()
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    port = server.sockets[0].getsockname()[1]
    script.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield script
    finally:
        server.close()
        assert script.failures == []
