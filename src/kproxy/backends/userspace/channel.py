"""A socket between the daemon and a worker, for messages and descriptors, on an event loop."""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from kproxy.backends.userspace.messages import Message

Received = TypeVar("Received", bound=Message)

_LENGTH = 4
"""Bytes before each message that tell how long it is."""
_AT_ONCE = 1 << 18
_MAX_DESCRIPTORS = 16
"""In one datagram of the socket; we send one with each message."""


class Channel(Generic[Received]):
    """Sends messages in order, however slowly the other side reads, and calls back for each that arrives."""

    def __init__(
        self,
        connection: socket.socket,
        decoder: "msgspec.msgpack.Decoder[Received]",
        on_message: Callable[[Received, list[int]], None],
        on_end: Callable[[], None],
    ) -> None:
        """Take over a connected Unix stream socket, on the running event loop.

        Args:
            connection: becomes non-blocking, and is closed with the channel
            decoder: of what the other side sends
            on_message: called with each message and the descriptors that have come and nobody has taken; it takes
                (and from then on owns) those at the front that are its message's
            on_end: called once, when the other side is gone
        """
        self._socket = connection
        self._socket.setblocking(False)
        self._decoder, self._encoder = decoder, msgspec.msgpack.Encoder()
        self._on_message, self._on_end = on_message, on_end
        self._loop = asyncio.get_running_loop()
        self._arrived = bytearray()
        self._descriptors: list[int] = []
        self._queue: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._loop.add_reader(self._socket, self._read)

    def send(self, message: Message, descriptors: Sequence[int] = ()) -> None:
        """Send, or queue; descriptors must stay open until they are sent, which the caller knows by an answer."""
        encoded = self._encoder.encode(message)
        self._queue.append((memoryview(len(encoded).to_bytes(_LENGTH, "big") + encoded), descriptors))
        if len(self._queue) == 1:
            self._write()

    def close(self) -> None:
        """Stop; what is queued is not sent."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._queue.clear()
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                socket.close(descriptor)
        self._descriptors.clear()

    def _write(self) -> None:
        try:
            while self._queue:
                data, descriptors = self._queue[0]
                sent = socket.send_fds(self._socket, [data], descriptors) if descriptors else self._socket.send(data)
                if sent == len(data):
                    self._queue.popleft()
                else:
                    self._queue[0] = (data[sent:], ())
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._write)
            return
        except OSError:
            # The reader learns that the other side has gone.
            self._queue.clear()
        self._loop.remove_writer(self._socket)

    def _read(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, _AT_ONCE, _MAX_DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        self._descriptors += descriptors
        if not data:
            self.close()
            self._on_end()
            return
        self._arrived += data
        start = 0
        while len(self._arrived) - start >= _LENGTH:
            end = start + _LENGTH + int.from_bytes(self._arrived[start : start + _LENGTH], "big")
            if len(self._arrived) < end:
                break
            message = self._decoder.decode(self._arrived[start + _LENGTH : end])
            start = end
            self._on_message(message, self._descriptors)
            if self._socket.fileno() < 0:
                return
        del self._arrived[:start]
