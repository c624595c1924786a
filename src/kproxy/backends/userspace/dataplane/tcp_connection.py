"""A forwarded TCP connection: two sockets, and what is on its way between them."""

import socket
from typing import Protocol

from kproxy.backends.userspace.dataplane.endpoints import Endpoint
from kproxy.backends.userspace.dataplane.pipes import Pipe
from kproxy.backends.userspace.dataplane.poller import ENDING, READABLE, WRITABLE
from kproxy.backends.userspace.dataplane.pools import Pool


class Forwarder(Protocol):
    """Who acts on what happens to a connection."""

    def connect_progressed(self, connection: "Connection", mask: int) -> None:
        """The connection to the endpoint was made, or failed."""

    def pump(self, source: "Side") -> None:
        """Something can be read, or sent on."""


class Side:
    """One socket of a connection, and what was read from it that the other has not taken yet."""

    __slots__ = (
        "blocked",
        "connection",
        "descriptor",
        "ended",
        "finished",
        "held",
        "hung_up",
        "other",
        "pipe",
        "piped",
        "readable",
        "socket",
        "watches_writing",
    )

    def __init__(self, connection: "Connection", endpoint_or_client: socket.socket, *, watches_writing: bool) -> None:
        self.connection = connection
        self.socket = endpoint_or_client
        self.descriptor = endpoint_or_client.fileno()
        self.other: Side = self
        self.held: memoryview | None = None
        self.pipe: Pipe | None = None
        self.piped = 0
        """Bytes in the pipe."""
        self.readable = True
        self.hung_up = False
        """The peer has ended its stream, or the connection: read on until that shows."""
        self.ended = False
        """Everything that it sent has been read."""
        self.finished = False
        """And the other side has got it, and has been told that it ended."""
        self.blocked = False
        """It takes no more for now."""
        self.watches_writing = watches_writing

    def on_event(self, mask: int) -> None:
        connection = self.connection
        forwarder = connection.forwarder
        if connection.connecting:
            forwarder.connect_progressed(connection, mask)
            return
        if mask & READABLE:
            self.readable = True
            if mask & ENDING:
                self.hung_up = True
            forwarder.pump(self)
        if self.blocked and mask & WRITABLE and connection.open:
            self.blocked = False
            forwarder.pump(self.other)


class Connection:
    """A client's connection, and the one to an endpoint that serves it."""

    __slots__ = (
        "broken",
        "client",
        "client_address",
        "connecting",
        "endpoint",
        "family",
        "forwarder",
        "open",
        "pool",
        "server",
        "tried",
    )

    def __init__(
        self, forwarder: Forwarder, client: socket.socket, client_address: str, family: int, pool: Pool
    ) -> None:
        self.forwarder = forwarder
        self.client_address, self.family, self.pool = client_address, family, pool
        self.client = Side(self, client, watches_writing=False)
        self.server: Side | None = None
        self.endpoint: Endpoint | None = None
        self.tried: tuple[Endpoint, ...] = ()
        self.connecting = True
        self.open = True
        self.broken = False
