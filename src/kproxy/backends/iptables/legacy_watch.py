"""Noticing that somebody flushed a legacy table, which the kernel tells nobody.

The kernel does say how many rules a table has, at the price of one system call whatever the number. Who deletes
rules makes it smaller; other programs' additions are none of our business.
"""

import asyncio
import contextlib
import ctypes
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable, Collection, Iterator

from kproxy.backends.iptables.audit import Audit
from kproxy.backends.iptables.skeleton import TABLES
from kproxy.services.addresses import Family

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0

_GET_INFO = 64
"""IPT_SO_GET_INFO and IP6T_SO_GET_INFO (linux/netfilter_ipv4/ip_tables.h)."""
_INFO = struct.Struct("=32sI5I5III")
"""struct ipt_getinfo: name, valid hooks, entry points, underflows, number of entries, size in bytes."""
_SOCKETS = {Family.IPV4: (socket.AF_INET, socket.IPPROTO_IP), Family.IPV6: (socket.AF_INET6, socket.IPPROTO_IPV6)}
_ABSENT = (errno.ENOENT, errno.ENOPROTOOPT)
"""No such table, and no ip_tables at all."""
_libc = ctypes.CDLL(None, use_errno=True)


class LegacyTables:
    """Asks for the sizes of one family's tables, in the network namespace of the thread that makes it."""

    def __init__(self, family: Family) -> None:
        """Open a socket.

        Raises:
            OSError: not permitted, or the kernel lacks the family
        """
        domain, self._level = _SOCKETS[family]
        self._socket = socket.socket(domain, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)

    def entries(self, table: str) -> int:
        """How many rules a table has, policies included; 0 when it does not exist.

        Raises:
            OSError: not permitted
        """
        buffer = ctypes.create_string_buffer(_INFO.pack(table.encode(), *[0] * 13), _INFO.size)
        length = ctypes.c_uint32(_INFO.size)
        if _libc.getsockopt(self._socket.fileno(), self._level, _GET_INFO, buffer, ctypes.byref(length)) == 0:
            return int(_INFO.unpack(buffer.raw)[-2])
        error = ctypes.get_errno()
        if error in _ABSENT:
            return 0
        raise OSError(error, os.strerror(error))

    def close(self) -> None:
        self._socket.close()


class LegacyWatch:
    """Calls back when a table shrinks that we did not shrink."""

    def __init__(self, families: Collection[Family], on_tampering: Callable[[], None], audit: Audit) -> None:
        """Begin to poll, on the running event loop; as others' rules go, too, the audit says how often that counts."""
        self._tables = {family: LegacyTables(family) for family in families}
        self._on_tampering, self._audit = on_tampering, audit
        self._loop = asyncio.get_running_loop()
        self._expected = self._sizes()
        self._timer = self._loop.call_later(POLL_SECONDS, self._poll)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Take what happens meanwhile for our own doing."""
        self._timer.cancel()
        try:
            yield
        finally:
            self._timer = self._loop.call_later(POLL_SECONDS, self._poll)
            self._expected = self._sizes()

    def close(self) -> None:
        self._timer.cancel()
        for tables in self._tables.values():
            tables.close()

    def _poll(self) -> None:
        self._timer = self._loop.call_later(POLL_SECONDS, self._poll)
        try:
            sizes = self._sizes()
        except OSError as error:
            log.warning("Whether somebody changed our rules cannot be seen: %s", error)
            return
        if not any(sizes[key] < size for key, size in self._expected.items()):
            self._expected = sizes
        elif self._audit.worthwhile():
            self._expected = sizes
            self._on_tampering()

    def _sizes(self) -> dict[tuple[Family, str], int]:
        return {(family, table): tables.entries(table) for family, tables in self._tables.items() for table in TABLES}
