"""Forwarding TCP connections.

A connection is two sockets, and in each direction at most one buffer of ours on top of the kernel's: what could not
be sent yet, or a pipe. Short messages are copied through one buffer that all connections share; a direction that
fills it is a bulk transfer, which moves pages through a pipe (splice(2)) until it pauses. An idle connection holds
neither.
"""

import errno
import os
import socket
import struct
from collections import deque
from time import monotonic
from typing import NamedTuple

from kproxy.backends.userspace.dataplane.counting import Counters, LimitReports
from kproxy.backends.userspace.dataplane.pipes import PipePool
from kproxy.backends.userspace.dataplane.poller import ENDING, READ, READ_WRITE, READABLE, WRITABLE, Poller
from kproxy.backends.userspace.dataplane.pools import Pool
from kproxy.backends.userspace.dataplane.tcp_connection import Connection, Side
from kproxy.backends.userspace.options import Limits

_BUFFER = 1 << 16
_TURNS = 16
"""Reads of one direction before other connections have their turn."""
_SPLICE = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""struct linger: closing discards what is queued and sends a reset (socket(7))."""
_NOT_THE_ENDPOINTS_FAULT = (errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_NEW_STREAM = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


class _Attempt(NamedTuple):
    deadline: float
    connection: Connection
    server: Side


class TcpForwarder:
    """All TCP connections of a worker."""

    def __init__(self, poller: Poller, limits: Limits, counters: Counters, reports: LimitReports) -> None:
        self._poller, self._limits, self._counters, self._reports = poller, limits, counters, reports
        self._pipes = PipePool(limits.pipes, limits.pipe_bytes)
        self._buffer = memoryview(bytearray(_BUFFER))
        self._attempts: deque[_Attempt] = deque()
        """Connections to endpoints that are being made, in the order of their deadlines."""

    # ------------------------------------------------------------------ beginning

    def take(self, client: socket.socket, client_address: str, family: int, pool: Pool | None) -> None:
        """Forward an accepted connection to an endpoint of a pool; without one, refuse it.

        Args:
            client: non-blocking; owned from now on
            client_address: its peer's address
            family: 4 or 6
            pool: of the Service port that it is for
        """
        counters = self._counters
        counters.accepted += 1
        if pool is None:
            counters.refused_unknown += 1
            reset(client)
            return
        if counters.connections >= self._limits.connections:
            counters.refused_limit += 1
            self._reports.reached(f"{self._limits.connections} connections are open", "further ones are reset")
            reset(client)
            return
        counters.connections += 1
        self._connect(Connection(self, client, client_address, family, pool))

    def _connect(self, connection: Connection) -> None:
        now = monotonic()
        while (endpoint := connection.pool.pick(connection.client_address, connection.tried, now)) is not None:
            connection.endpoint = endpoint
            try:
                server = socket.socket(_FAMILIES[connection.family], _NEW_STREAM)
            except OSError as error:
                self._counters.refused_limit += 1
                self._reports.reached(f"sockets ran out ({error.strerror})", "connections are reset")
                self._abort(connection)
                return
            try:
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                code = server.connect_ex(endpoint.address)
            except OSError as error:
                code = error.errno or errno.EIO
            if code in (0, errno.EINPROGRESS):
                side = connection.server = Side(connection, server, watches_writing=True)
                side.other, connection.client.other = connection.client, side
                self._poller.register(side.descriptor, READ_WRITE, side.on_event)
                self._attempts.append(_Attempt(now + self._limits.connect_seconds, connection, side))
                return
            server.close()
            self._failed(connection, code)
        self._counters.refused_no_endpoint += 1
        self._abort(connection)

    def connect_progressed(self, connection: Connection, mask: int) -> None:
        """Look at what became of the connection to the endpoint."""
        server = connection.server
        if server is None:
            return
        code = server.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._try_next(connection, server, code)
        elif mask & WRITABLE:
            connection.connecting = False
            if connection.endpoint is not None and connection.endpoint.failing:
                connection.endpoint.succeeded()
            if mask & ENDING:
                server.hung_up = True
            client = connection.client
            self.pump(client)
            if connection.open:
                self._poller.register(client.descriptor, READ, client.on_event)
            if connection.open and mask & READABLE:
                # The endpoint spoke first, or has gone already; this event says so only once.
                self.pump(server)

    def expire(self, now: float) -> None:
        """Give up on endpoints that have not answered in time; to be called often."""
        attempts = self._attempts
        while attempts:
            deadline, connection, server = attempts[0]
            under_way = connection.connecting and connection.server is server
            if under_way and deadline > now:
                return
            attempts.popleft()
            if under_way:
                self._try_next(connection, server, errno.ETIMEDOUT)

    def _try_next(self, connection: Connection, server: Side, code: int) -> None:
        connection.server = None
        self._poller.forget(server.descriptor, server.socket)
        self._failed(connection, code)
        self._counters.connect_retries += 1
        self._connect(connection)

    def _failed(self, connection: Connection, code: int) -> None:
        endpoint = connection.endpoint
        if endpoint is None:
            return
        if code == errno.ETIMEDOUT:
            self._counters.connect_timeouts += 1
        else:
            self._counters.connect_failures += 1
        connection.tried = (*connection.tried, endpoint)
        if code not in _NOT_THE_ENDPOINTS_FAULT:
            endpoint.failed(monotonic())

    # ------------------------------------------------------------------ forwarding

    def pump(self, source: Side) -> None:
        """Forward in one direction until nothing can be read, or the other side takes no more."""
        sink, buffer, counters = source.other, self._buffer, self._counters
        for _ in range(_TURNS):
            if (source.held is not None or source.piped) and not self._push(source, sink):
                return
            if source.ended:
                self._finish(source)
                return
            if not source.readable:
                self._rest(source)
                return
            try:
                if source.pipe is not None:
                    got = os.splice(source.descriptor, source.pipe.writing, source.pipe.capacity, flags=_SPLICE)
                    source.piped = got
                else:
                    got = source.socket.recv_into(buffer)
            except BlockingIOError:
                source.readable = False
                continue
            except OSError:
                self._abort(source.connection)
                return
            if not got:
                source.ended = True
                continue
            counters.tcp_bytes += got
            if source.piped:
                continue
            try:
                sent = sink.socket.send(buffer[:got])
            except BlockingIOError:
                sent = 0
            except OSError:
                self._rescue(source)
                return
            if sent < got:
                source.held = memoryview(bytes(buffer[sent:got]))
            elif got == _BUFFER:
                self._become_bulk(source)
            elif not source.hung_up:
                # A short read has emptied the socket, and what comes next is a new event.
                source.readable = False
                return
        connection = source.connection
        self._poller.call_again(lambda: self.pump(source) if connection.open else None)

    def _push(self, source: Side, sink: Side) -> bool:
        """Send what is left from before; returns whether all of it is gone."""
        try:
            if source.held is not None:
                sent = sink.socket.send(source.held)
                source.held = source.held[sent:] if sent < len(source.held) else None
            while source.piped and source.pipe is not None:
                source.piped -= os.splice(source.pipe.reading, sink.descriptor, source.piped, flags=_SPLICE)
        except BlockingIOError:
            pass
        except OSError:
            self._rescue(source)
            return False
        if source.held is None and not source.piped:
            return True
        sink.blocked = True
        if not sink.watches_writing:
            sink.watches_writing = True
            self._poller.modify(sink.descriptor, READ_WRITE)
        return False

    def _become_bulk(self, source: Side) -> None:
        source.pipe = self._pipes.take()
        if source.pipe is None:
            self._counters.pipes_exhausted += 1
            self._reports.reached(f"{self._limits.pipes} pipes are in use", "further bulk transfers are copied")

    def _rest(self, source: Side) -> None:
        if source.pipe is not None:
            self._pipes.give_back(source.pipe, empty=True)
            source.pipe = None

    # ------------------------------------------------------------------ ending

    def _finish(self, source: Side) -> None:
        """A stream has ended and all of it was forwarded: pass the end on."""
        if source.finished:
            return
        source.finished = True
        self._rest(source)
        if source.other.finished:
            self._drop(source.connection)
            return
        try:
            source.other.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self._abort(source.connection)

    def _rescue(self, source: Side) -> None:
        """The other side takes nothing any more, but what it said before it went should still arrive."""
        connection = source.connection
        if not connection.broken:
            connection.broken = True
            source.other.readable = source.other.hung_up = True
            self.pump(source.other)
        if connection.open:
            self._abort(connection)

    def _abort(self, connection: Connection) -> None:
        """End both connections by a reset, as one of them was, or as no endpoint could be had."""
        if not connection.open:
            return
        if not connection.connecting:
            self._counters.resets += 1
        for side in (connection.client, connection.server):
            if side is not None:
                side.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._drop(connection)

    def _drop(self, connection: Connection) -> None:
        connection.open = connection.connecting = False
        self._counters.connections -= 1
        for side in (connection.client, connection.server):
            if side is None:
                continue
            self._poller.forget(side.descriptor, side.socket)
            if side.pipe is not None:
                self._pipes.give_back(side.pipe, empty=not side.piped)
                side.pipe = None
            # The sides refer to the connection and to each other; without this, only the collector would free them.
            del side.connection, side.other
        connection.server = None


def reset(connection: socket.socket) -> None:
    """Refuse an accepted connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    connection.close()
