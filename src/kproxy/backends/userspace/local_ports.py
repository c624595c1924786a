"""Local ports: binding them within a range, for one worker or several."""

import errno
import socket
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kproxy.backends.userspace.options import PortRange
from kproxy.services.addresses import Address, format_address
from kproxy.services.objects import Protocol

_BACKLOG = 65_535
"""As many connections as the kernel lets wait (net.core.somaxconn)."""
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
_KINDS: dict[Protocol, int] = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
_EPHEMERAL_TRIES = 16


class NoFreePortError(Exception):
    """Every port that may be used is taken, or may not be bound."""


class LocalPort(NamedTuple):
    """A port that is bound, with one socket for each worker."""

    number: int
    sockets: tuple[socket.socket, ...]

    def close(self) -> None:
        for bound in self.sockets:
            bound.close()


class LocalPorts:
    """Binds ports of a range."""

    def __init__(self, allowed: PortRange, workers: int, *, absent_addresses: bool) -> None:
        """Bind nothing yet.

        Args:
            allowed: which ports
            workers: how many sockets share a port
            absent_addresses: whether to bind addresses that no interface has yet
        """
        self._allowed, self._workers, self._absent = allowed, workers, absent_addresses

    def bind(self, address: Address, protocol: Protocol, name: str) -> LocalPort:
        """Bind a free port.

        With a range, the name tells where in it to look first, so that a Service port is likely to get the same
        local port after a restart.

        Raises:
            NoFreePortError: says what was tried
        """
        reason = ""
        for number in self._candidates(name):
            try:
                return self._bind(address, protocol, number)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise NoFreePortError(f"{format_address(address)} {protocol}: {error.strerror}") from error
                reason = error.strerror or ""
        allowed = f"ports {self._allowed.first} to {self._allowed.last}" if self._allowed else "any port"
        raise NoFreePortError(f"{format_address(address)} {protocol}: of {allowed}, none is free ({reason})")

    def _candidates(self, name: str) -> Iterator[int]:
        if not self._allowed:
            yield from [0] * _EPHEMERAL_TRIES
            return
        first, last = self._allowed
        count = last - first + 1
        start = zlib.crc32(name.encode()) % count
        yield from (first + (start + step) % count for step in range(count))

    def _bind(self, address: Address, protocol: Protocol, number: int) -> LocalPort:
        if self._workers == 1:
            only = self._open(address, protocol, number, shared=False)
            return LocalPort(only.getsockname()[1], (only,))
        # Sockets that share a port would share it with anybody's who asks for the same: be sure that it is free.
        with self._open(address, protocol, number, shared=False) as probe:
            number = probe.getsockname()[1]
        opened: list[socket.socket] = []
        try:
            opened.extend(self._open(address, protocol, number, shared=True) for _ in range(self._workers))
        except OSError:
            _close(opened)
            raise
        return LocalPort(number, tuple(opened))

    def _open(self, address: Address, protocol: Protocol, number: int, *, shared: bool) -> socket.socket:
        v6 = len(address) == 16
        bound = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, _KINDS[protocol] | socket.SOCK_NONBLOCK)
        try:
            if v6:
                bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if self._absent:
                level, option = (socket.IPPROTO_IPV6, _IPV6_FREEBIND) if v6 else (socket.IPPROTO_IP, _IP_FREEBIND)
                bound.setsockopt(level, option, 1)
            if shared:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if protocol == "TCP":
                # Connections that have ended hold their port for a minute; a restart must not wait for that.
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # Accepted sockets inherit these.
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            bound.bind((format_address(address), number))
            if protocol == "TCP":
                bound.listen(_BACKLOG)
        except OSError:
            bound.close()
            raise
        return bound


def _close(sockets: Iterable[socket.socket]) -> None:
    for bound in sockets:
        bound.close()
