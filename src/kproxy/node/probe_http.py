"""HTTP/1.1 for load balancers' probes: one request a connection, and little patience (RFC 9112).

Health check ports are open to whoever reaches the node. A client may hold one of a bounded number of
connections for a bounded time and have a bounded number of bytes kept, whatever it sends.
"""

import asyncio
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple, cast

_PATIENCE = 5.0
"""Seconds from the connection to its end."""
_LONGEST_HEAD = 8192
"""Bytes of request line and header fields."""


class Response(NamedTuple):
    status: HTTPStatus
    headers: dict[str, str]
    body: bytes


class ProbeConnections:
    """The connections of any number of listening sockets, counted together."""

    def __init__(self, most: int = 1024) -> None:
        """Serve at most that many connections at a time; more are closed at once."""
        self._most = most
        self._open: set[ProbeConnection] = set()

    def admit(self, connection: "ProbeConnection") -> bool:
        if len(self._open) >= self._most:
            return False
        self._open.add(connection)
        return True

    def release(self, connection: "ProbeConnection") -> None:
        self._open.discard(connection)

    def abort(self) -> None:
        """End them all."""
        for connection in list(self._open):
            connection.abort()


class ProbeConnection(asyncio.Protocol):
    """Answers one request, whatever its method and path, and closes."""

    def __init__(self, connections: ProbeConnections, respond: Callable[[], Response | None]) -> None:
        """Make the protocol of one connection.

        Args:
            connections: which it is counted with
            respond: gives the response; None closes without any
        """
        self._connections = connections
        self._respond = respond
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self.abort)
        if not self._connections.admit(self):
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._connections.release(self)

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        # Looking only at what is new keeps a head that comes byte by byte cheap.
        searched = max(0, len(self._head) - 3)
        self._head += data
        end = self._head.find(b"\r\n\r\n", searched)
        if end < 0 and len(self._head) <= _LONGEST_HEAD:
            return
        method = _method(self._head) if 0 <= end <= _LONGEST_HEAD else None
        response = self._respond() if method else Response(HTTPStatus.BAD_REQUEST, {}, b"")
        if response is not None:
            self._transport.write(_encode(response, head_only=method == b"HEAD"))
        self._transport.close()


def _method(head: bytes) -> bytes | None:
    """The request's method; None when the first line is no request of HTTP/1."""
    line = head.split(b"\r\n", 1)[0].split(b" ")
    return line[0] if len(line) == 3 and line[0].isalpha() and line[2] in (b"HTTP/1.0", b"HTTP/1.1") else None


def _encode(response: Response, *, head_only: bool) -> bytes:
    headers = {
        **response.headers,
        "Date": formatdate(usegmt=True),
        "Content-Length": str(len(response.body)),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {response.status.value} {response.status.phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + (b"" if head_only else response.body)
