"""One client's requests: who answered, from which address they seemed to come, or how they failed."""

import asyncio
import errno
import itertools
import os
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from types import TracebackType
from typing import Literal, Self

from kproxy.lab.namespaces import Namespace

Transport = Literal["TCP", "UDP"]

# What ICMP errors and resets turn into on a socket. Any other errno is a fault of the lab, not an answer.
_REJECTIONS = {
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EACCES,
    errno.EPERM,
    errno.EPIPE,
    errno.EPROTO,
}
# Between the ports that servers of the lab listen on and node ports.
_SOURCE_PORTS = range(11_000, 30_000)
_ABORT_ON_CLOSE = struct.pack("ii", 1, 0)


class Result(StrEnum):
    OK = "ok"
    REJECTED = "rejected"
    """A reset or an ICMP error came back."""
    TIMEOUT = "timeout"
    """Nothing came back."""
    CLOSED = "closed"
    """The connection was accepted, then closed without an answer, or not by a server of the lab."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one request met. `pod` and `source` (the client's address as the pod saw it) come with an answer."""

    result: Result
    pod: str | None = None
    source: str | None = None


@dataclass(frozen=True)
class Sample:
    """Many requests of one client to one address, each from a fresh socket."""

    answers: Counter[tuple[str, str]]
    """Number of answers by pod and the source address it saw."""
    failures: Counter[Result]

    @property
    def tries(self) -> int:
        return self.answers.total() + self.failures.total()

    @property
    def pods(self) -> Counter[str]:
        """Number of answers by pod."""
        counts: Counter[str] = Counter()
        for (pod, _), number in self.answers.items():
            counts[pod] += number
        return counts

    @property
    def sources(self) -> set[str]:
        return {source for _, source in self.answers}

    def add(self, outcome: Outcome) -> None:
        if outcome.pod is not None and outcome.source is not None:
            self.answers[outcome.pod, outcome.source] += 1
        else:
            self.failures[outcome.result] += 1


class Client:
    """A vantage point from which requests are sent, each from a port that none of its last thousands had.

    The kernel picks source ports at random, or in an order that soon repeats. A request from the port of an
    earlier one can be taken for part of that flow by connection tracking, and is then translated as that was, or
    not at all. Ports taken in turn come back when such entries have long expired.
    """

    def __init__(self, namespace: Namespace, address: str = "") -> None:
        """A client in a namespace, on one of its addresses, which the kernel chooses if left out."""
        self._namespace = namespace
        self._address = address
        self._ports = {kind: itertools.cycle(_SOURCE_PORTS) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)}

    def socket(self, family: int, kind: int) -> socket.socket:
        """A TCP or UDP socket, bound to the next port.

        Raises:
            OSError: no socket to be had, or none of the client's address.
        """
        sock = self._namespace.socket(family, kind)
        for port in itertools.islice(self._ports[socket.SocketKind(kind)], len(_SOURCE_PORTS)):
            try:
                sock.bind((self._address, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    sock.close()
                    raise
            else:
                return sock
        sock.close()
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


class Flow:
    """A client's socket towards one address, kept for as many requests as wanted.

    That is one TCP connection, or UDP datagrams from one source port.
    """

    def __init__(self, client: Client, transport: Transport, address: str, port: int, patience: float) -> None:
        """Open the socket; nothing is sent yet.

        Args:
            client: who asks.
            transport: over what.
            address: an IPv4 or IPv6 address.
            port: the port there.
            patience: seconds to wait, for a TCP connection and for each answer.

        Raises:
            ValueError: not an address.
            OSError: no socket to be had.
        """
        family = socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6
        self._patience = patience
        self._target = (address, port)
        if transport == "TCP":
            self._socket = client.socket(family, socket.SOCK_STREAM)
            # Closing by a reset leaves no TIME_WAIT behind on either side, however many connections there were.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_ON_CLOSE)
        else:
            self._socket = client.socket(family, socket.SOCK_DGRAM)
        self._connected = False

    async def ask(self) -> Outcome:
        """Send one request, connecting first if need be, and wait for its answer."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience):
                if not self._connected:
                    await loop.sock_connect(self._socket, self._target)
                    self._connected = True
                await loop.sock_sendall(self._socket, b"?\n")
                return _parse(await loop.sock_recv(self._socket, 256))
        except TimeoutError:
            return Outcome(Result.TIMEOUT)
        except OSError as error:
            if error.errno in _REJECTIONS:
                return Outcome(Result.REJECTED)
            raise

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _parse(answer: bytes) -> Outcome:
    match answer.decode("ascii", "replace").split():
        case [pod, source]:
            return Outcome(Result.OK, pod, source)
        case _:
            return Outcome(Result.CLOSED)


async def probe(client: Client, transport: Transport, address: str, port: int, patience: float) -> Outcome:
    """One request from a fresh socket; arguments as for `Flow`."""
    with Flow(client, transport, address, port, patience) as flow:
        return await flow.ask()


def empty_sample() -> Sample:
    return Sample(Counter(), Counter())


def now() -> float:
    """Seconds on the clock that every time stamp of the lab is from (CLOCK_MONOTONIC)."""
    return time.monotonic()
