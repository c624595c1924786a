"""What runs in the pods: TCP and UDP servers that say who they are and whom they see.

Every line received is answered with `<name> <client address>`. All pods' servers share one event loop; what
tells them apart is the namespace in which their sockets were opened.
"""

import asyncio
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any, cast

from kproxy.lab.namespaces import Namespace

BACKLOG = 4096
LINE_LIMIT = 4096


class _Stream(asyncio.Protocol):
    def __init__(self, name: str) -> None:
        self._name = name
        self._partial = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._answer = _answer(self._name, transport.get_extra_info("peername"))

    def data_received(self, data: bytes) -> None:
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > LINE_LIMIT:
            self._transport.abort()
            return
        for _ in lines:
            self._transport.write(self._answer)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, name: str) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._transport.sendto(_answer(self._name, addr), addr)


def _answer(name: str, peer: tuple[Any, ...]) -> bytes:
    return f"{name} {peer[0]}\n".encode()


async def serve(namespace: Namespace, name: str, ports: Iterable[int]) -> AsyncExitStack:
    """Serve TCP and UDP, IPv4 and IPv6, on each port of a namespace.

    Returns:
        What closes the servers; connections end when their clients close them.

    Raises:
        OSError: a port is taken.
    """
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        for port in ports:
            for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104
                stream = _bound(namespace, family, socket.SOCK_STREAM, host, port)
                server = await loop.create_server(lambda: _Stream(name), sock=stream, backlog=BACKLOG)
                stack.callback(server.close)
                datagrams = _bound(namespace, family, socket.SOCK_DGRAM, host, port)
                transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(name), sock=datagrams)
                stack.callback(transport.close)
        return stack.pop_all()


def _bound(namespace: Namespace, family: int, kind: int, host: str, port: int) -> socket.socket:
    sock = namespace.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
