"""Endpoints of all kinds, on ports of this machine."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import cast

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
RESET = struct.pack("ii", 1, 0)


@asynccontextmanager
async def serving(serve: Serve, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A TCP server; yields its port."""

    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await serve(reader, writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(guarded, host, 0, backlog=4096)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def naming(name: str) -> Serve:
    """Answers with a name when the request has ended."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.write(name.encode())

    return serve


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


async def reset_in_mid_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends something, waits for something, and resets the connection."""
    writer.write(b"half of it")
    await reader.read(1)
    reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


@contextlib.contextmanager
def refusing(kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[int]:
    """A port that is nobody's: bound, so that nobody else gets it, but not open."""
    with socket.socket(type=kind) as bound:
        bound.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_DGRAM:
            # A UDP socket connected elsewhere takes nothing from others, and the kernel says so to them.
            bound.connect(("127.0.0.1", 9))
        yield bound.getsockname()[1]


@contextlib.contextmanager
def hanging() -> Iterator[int]:
    """A server that accepts nothing, and whose queue is full: the kernel drops what comes."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


class _Answering(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self.clients: set[tuple[str, int]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.clients.add(address)
        self._transport.sendto(self._name + b" " + data, address)


@asynccontextmanager
async def answering(name: str, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A UDP server that answers with its name and the question; yields its port."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Answering(name), local_addr=(host, 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
