"""Accepting TCP connections."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable

from kproxy.backends.userspace.dataplane.counting import Counters, LimitReports
from kproxy.backends.userspace.dataplane.poller import LEVEL_READ, Poller
from kproxy.backends.userspace.dataplane.pools import Pool
from kproxy.backends.userspace.dataplane.tcp import TcpForwarder, reset

_AT_ONCE = 128
"""Connections accepted before others have their turn."""
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


class TcpListener:
    """A listening socket whose connections go to a forwarder."""

    def __init__(
        self,
        listening: socket.socket,
        family: int,
        find_pool: Callable[[socket.socket], Pool | None],
        *,
        poller: Poller,
        forwarder: TcpForwarder,
        counters: Counters,
        reports: LimitReports,
    ) -> None:
        """Begin to accept.

        Args:
            listening: owned from now on
            family: 4 or 6
            find_pool: tells whose an accepted connection is
            poller: calls when there are connections
            forwarder: takes them
            counters: of what is refused here
            reports: of limits reached
        """
        self._socket, self._family, self._find_pool = listening, family, find_pool
        self._poller, self._forwarder, self._counters, self._reports = poller, forwarder, counters, reports
        self._spare = _open_spare()
        listening.setblocking(False)
        poller.register(listening.fileno(), LEVEL_READ, self._accept)

    def close(self) -> None:
        """Accept no more; connections that were accepted go on."""
        self._poller.forget(self._socket.fileno(), self._socket)
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _accept(self, mask: int) -> None:
        listening, take, find_pool, family = self._socket, self._forwarder.take, self._find_pool, self._family
        for _ in range(_AT_ONCE):
            try:
                client, address = listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._shed()
                    continue
                # A connection that ended before it was accepted (accept(2)); the next one may be fine.
                if error.errno in (errno.ECONNABORTED, errno.EPROTO):
                    continue
                self._reports.reached(f"connections cannot be accepted ({error.strerror})", "they wait")
                return
            client.setblocking(False)
            take(client, address[0], family, find_pool(client))

    def _shed(self) -> None:
        """Without descriptors nothing can be accepted, and clients would wait: use the spare one to refuse them."""
        self._counters.refused_limit += 1
        self._reports.reached("descriptors ran out (RLIMIT_NOFILE)", "connections are reset")
        if self._spare >= 0:
            os.close(self._spare)
        with contextlib.suppress(OSError):
            client, _ = self._socket.accept()
            reset(client)
        self._spare = _open_spare()


def _open_spare() -> int:
    try:
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1
