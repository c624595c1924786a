"""What stands between a proxy and its API server, and can make the way bad: slow, silent, refusing, cut."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from kproxy.lab.namespaces import Namespace

_CHUNK = 1 << 16


class Relay:
    """Passes connections on, inside a namespace; what its attributes say holds for the bytes that come next."""

    def __init__(self, namespace: Namespace, port: int) -> None:
        """Relay nothing yet.

        Args:
            namespace: where the API server listens, and where the relay does
            port: of the API server, on 127.0.0.1
        """
        self.slow = asyncio.Event()
        """When set, answers come at one byte a second."""
        self.held = ""
        """Answers to requests whose path has this in it do not come; empty: all do."""
        self.refusal = b""
        """When not empty, what each new request is answered with, after which its connection ends."""
        self.requests = 0
        """How many connections brought a request."""
        self.port = 0
        self._namespace, self._upstream = namespace, port
        self._released = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        listener = self._namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        self.port = listener.getsockname()[1]
        server = await asyncio.start_server(self._serve, sock=listener)
        try:
            yield
        finally:
            server.close()
            self.release()
            self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def release(self) -> None:
        """Let held answers go."""
        self.held = ""
        self._released.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        upstream: asyncio.StreamWriter | None = None
        answering: asyncio.Task[None] | None = None
        try:
            request = await reader.read(_CHUNK)
            self.requests += bool(request)
            if self.refusal:
                writer.write(self.refusal)
                await writer.drain()
                return
            answers, upstream = await self._connect()
            upstream.write(request)
            path = request.split(b"\r\n", 1)[0].decode(errors="replace")
            answering = asyncio.create_task(self._answer(answers, writer, path))
            while data := await reader.read(_CHUNK):
                upstream.write(data)
        except OSError:
            pass  # either side has gone, which the other is told by what follows
        finally:
            if answering:
                answering.cancel()
            for each in (upstream, writer):
                if each:
                    each.transport.abort() if each.transport.is_closing() else each.close()
            self._writers.discard(writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = self._namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._upstream))
        return await asyncio.open_connection(sock=sock)

    async def _answer(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
        with contextlib.suppress(OSError):
            if self.held and self.held in path:
                await self._released.wait()
            while data := await answers.read(_CHUNK):
                while self.slow.is_set() and data:
                    writer.write(data[:1])
                    data = data[1:]
                    await asyncio.sleep(1)
                writer.write(data)
                await writer.drain()
            writer.close()
