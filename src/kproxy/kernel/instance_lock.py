"""One proxy for each network namespace: a lock that is a listening socket, through which it can also be asked for.

The lock guards the rules of a network namespace, so it lives there: a Unix socket with an abstract name (unix(7)). A
file under /run would be another file in each container, whereas two containers with the host's network see the same
socket. The kernel gives it back when its process ends, however that ends.

Anybody may take an abstract name. A holder that may not administer the network cannot be a proxy, and is passed over.
"""

import asyncio
import errno
import json
import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from kproxy.kernel.peer_credentials import Peer, peer_of

log = logging.getLogger(__name__)

_ADDRESS = "\0kproxy/instance"
_DESCRIBE, _TAKE_OVER = b"describe\n", b"take over\n"
_LONGEST = 4096
"""Bytes of a question or an answer."""
_ANSWER_TIMEOUT = 2.0
_POLL = 0.05
_MOST_ASKING = 16
_LONGEST_DESCRIPTION = 200
_GONE = (errno.ECONNREFUSED, errno.ENOENT, errno.ECONNRESET, errno.EPIPE)


class Holder(NamedTuple):
    """Who has the lock."""

    peer: Peer
    description: str = ""
    """What it says of itself; empty when it says nothing."""
    refuses: bool = False
    """It was asked to end, and does not for this process."""

    def __str__(self) -> str:
        return f"{self.peer} ({self.description})" if self.description else str(self.peer)


class AlreadyRunningError(Exception):
    """Another proxy serves this network namespace; the message says which, and what can be done."""


class InstanceLock:
    """Held from when it is made until `close`, or the process's end."""

    def __init__(self, listening: socket.socket | None, description: str) -> None:
        self._listening = listening
        self._description = description
        self._on_take_over: Callable[[], None] = lambda: None
        self._server: asyncio.Server | None = None
        self._asking: set[asyncio.StreamWriter] = set()

    async def serve(self, on_take_over: Callable[[], None]) -> None:
        """Answer others, on the running event loop.

        Args:
            on_take_over: called when another instance, which may, asks this one to end
        """
        self._on_take_over = on_take_over
        if self._listening is not None:
            self._server = await asyncio.start_unix_server(self._answer, sock=self._listening, limit=_LONGEST)

    def close(self) -> None:
        """Give the lock back; must come after everything that writes to the kernel has ended."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for writer in self._asking:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._asking) >= _MOST_ASKING:
            writer.close()
            return
        self._asking.add(writer)
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                question = await reader.readline()
            answer: dict[str, object] = {"pid": os.getpid(), "description": self._description}
            if question == _TAKE_OVER:
                answer["ends"] = self._yields_to(peer_of(writer.get_extra_info("socket")))
            writer.write(json.dumps(answer).encode() + b"\n")
            if answer.get("ends"):
                self._on_take_over()
                await reader.read()  # the connection stays, so that its end tells of ours
        except (OSError, ValueError) as error:
            log.debug("A question to this instance broke off: %s", error)
        finally:
            self._asking.discard(writer)
            writer.close()

    def _yields_to(self, peer: Peer) -> bool:
        if peer.may_administer:
            log.info("Another instance takes over (%s); ending", peer)
            return True
        log.warning("%s, of user %d, asked this proxy to end, and may not", peer, peer.uid)
        return False


def acquire(description: str) -> InstanceLock:
    """Take the lock of this thread's network namespace.

    Args:
        description: of this instance, for who asks

    Raises:
        AlreadyRunningError: another instance has it
    """
    while True:
        listening = _listen()
        if listening is not None:
            return InstanceLock(listening, description)
        holder = _ask(_DESCRIBE)
        if holder is None:  # it ended meanwhile
            continue
        if not holder.peer.may_administer and holder.peer.pid:
            log.warning("%s, of user %d, pretends to be a proxy; going on without the lock", holder, holder.peer.uid)
            return InstanceLock(None, description)
        raise AlreadyRunningError(
            f"a proxy already serves this node: {holder}; stop it first, or start with --takeover to replace it"
        )


def take_over(description: str, timeout: float = 30.0) -> InstanceLock:
    """Take the lock, asking whoever has it to end; what it has programmed stays, and connections with it.

    Blocks until the other instance has ended.

    Args:
        description: of this instance, for who asks
        timeout: in seconds, how long the other instance may take to end

    Raises:
        AlreadyRunningError: it did not end
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return acquire(description)
        except AlreadyRunningError:
            holder = _ask(_TAKE_OVER, until=deadline)
        if holder is None:
            continue
        if holder.refuses:
            raise AlreadyRunningError(f"the proxy that serves this node will not end for this user: {holder}")
        if time.monotonic() >= deadline:
            raise AlreadyRunningError(
                f"the proxy that serves this node did not end within {timeout:g} s: {holder}; "
                "end it with SIGTERM, or if need be SIGKILL: its rules stay"
            )
        time.sleep(_POLL)


def _listen() -> socket.socket | None:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        listening.bind(_ADDRESS)
        listening.listen()
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return listening


def _ask(question: bytes, until: float | None = None) -> Holder | None:
    """Ask whoever has the lock, and, with a deadline, wait for its end; None when it has ended."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        remaining = _ANSWER_TIMEOUT if until is None else max(_POLL, until - time.monotonic())
        connection.settimeout(min(_ANSWER_TIMEOUT, remaining))
        try:
            connection.connect(_ADDRESS)
        except OSError as error:
            if error.errno in _GONE:
                return None
            raise
        holder = Holder(peer_of(connection))
        try:
            connection.send(question)
            holder = _described(holder.peer, connection.recv(_LONGEST))
            if until is not None and not holder.refuses:
                connection.settimeout(max(_POLL, until - time.monotonic()))
                return holder if connection.recv(1) else None
        except OSError as error:
            log.debug("The proxy that serves this node does not answer: %s", error)
        return holder


def _described(peer: Peer, answer: bytes) -> Holder:
    try:
        told: Any = json.loads(answer)
    except ValueError:
        return Holder(peer)
    if not isinstance(told, dict):
        return Holder(peer)
    words = [str(told.get("description", ""))[:_LONGEST_DESCRIPTION]]
    if not peer.pid and isinstance(told.get("pid"), int):
        words.append(f"process {told['pid']} there")
    return Holder(peer, ", ".join(filter(None, words)), refuses=told.get("ends") is False)
