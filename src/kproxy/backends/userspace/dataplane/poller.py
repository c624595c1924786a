"""Edge-triggered readiness of many sockets, inside the process' event loop.

The event loop (uvloop, or asyncio's own) sees one descriptor, the epoll instance of all sockets, which is itself
readable when one of them is (epoll(7)). A transport or a reader callback per socket would cost more than all the
system calls of a short connection; a dictionary lookup and a method call do not.
"""

import asyncio
import select
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeAlias

READ = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET
READ_WRITE = READ | select.EPOLLOUT
LEVEL_READ = select.EPOLLIN
WRITABLE = select.EPOLLOUT
ENDING = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
"""What the end of a stream, or of the connection, is told by."""
READABLE = select.EPOLLIN | ENDING

_BATCH = 512
_ROUNDS = 4
"""Batches before the event loop's other callbacks have their turn."""

Handler: TypeAlias = Callable[[int], None]
"""Called with what epoll says of the socket."""


class Closable(Protocol):
    def close(self) -> None: ...


class Poller:
    """Calls a handler for each socket that is ready."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._epoll = select.epoll()
        self._loop = loop
        self._handlers: dict[int, Handler] = {}
        self._closing: list[Closable] = []
        self._again: deque[Callable[[], None]] = deque()
        self._draining = False
        loop.add_reader(self._epoll.fileno(), self._drain)

    def register(self, descriptor: int, events: int, handler: Handler) -> None:
        """Begin to watch a socket.

        Raises:
            OSError: ENOSPC, ENOMEM
        """
        self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def modify(self, descriptor: int, events: int) -> None:
        """Watch for other events; what is the case already is reported anew."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int, owner: Closable) -> None:
        """Stop calling the handler, and close the socket's owner when nothing that epoll has said can mean it.

        Closing takes a socket out of the epoll instance by itself. If it were closed at once, its number could be
        given to a new one while events of the old one are still to be looked at.
        """
        self._handlers.pop(descriptor, None)
        if self._draining:
            self._closing.append(owner)
        else:
            owner.close()

    def call_again(self, callback: Callable[[], None]) -> None:
        """Call back after the other sockets had their turn."""
        self._again.append(callback)
        if not self._draining:
            self._loop.call_soon(self._drain)

    def close(self) -> None:
        self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _drain(self) -> None:
        if self._epoll.closed:
            return
        self._draining = True
        handlers = self._handlers
        try:
            for _ in range(_ROUNDS):
                events = self._epoll.poll(0, _BATCH)
                for descriptor, mask in events:
                    handler = handlers.get(descriptor)
                    if handler is None:
                        continue
                    try:
                        handler(mask)
                    except Exception as error:
                        # The other sockets' events come only once.
                        self._loop.call_exception_handler({"message": "a socket's handler failed", "exception": error})
                for _ in range(len(self._again)):
                    self._again.popleft()()
                if self._closing:
                    for owner in self._closing:
                        owner.close()
                    self._closing.clear()
                if not events and not self._again:
                    return
        finally:
            self._draining = False
        if self._again:
            self._loop.call_soon(self._drain)
