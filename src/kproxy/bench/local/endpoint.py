"""What answers at every endpoint's address: `python -m kproxy.bench.local.endpoint PORT`, inside a namespace.

An HTTP server whose answer's body is the address and the port that were asked. It has to be quick: it is in every
figure.
"""

import asyncio
import contextlib
import signal
import socket
import sys
from typing import cast

_BACKLOG = 4096


class Endpoint(asyncio.Protocol):
    """One connection; requests have no body, and may follow each other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        body = b"%b:%d" % ((name := transport.get_extra_info("sockname"))[0].encode(), name[1])
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n" % len(body)
        self._kept, self._closed = head + b"\r\n" + body, head + b"Connection: close\r\n\r\n" + body
        self._partial = b""

    def data_received(self, data: bytes) -> None:
        *requests, self._partial = (self._partial + data).split(b"\r\n\r\n")
        for request in requests:
            if b"Connection: close" in request:
                self._transport.write(self._closed)
                self._transport.close()
                return
            self._transport.write(self._kept)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", port))  # noqa: S104 - a namespace of its own
    async with await loop.create_server(Endpoint, sock=listener, backlog=_BACKLOG):
        await stopped.wait()


if __name__ == "__main__":
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    asyncio.run(_serve(int(sys.argv[1])))
