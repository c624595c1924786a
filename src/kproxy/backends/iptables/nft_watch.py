"""Noticing that somebody else changed rules of the nf_tables variant: the kernel tells whoever listens."""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterator

from kproxy.backends.iptables.names import PER_SERVICE
from kproxy.backends.iptables.skeleton import JUMPS, TABLES, chain_names
from kproxy.backends.iptables.tool import Tool
from kproxy.kernel.netlink import Message, attributes
from kproxy.kernel.nftnl.monitor import NftListener
from kproxy.kernel.nftnl.protocol import (
    CHAIN_NAME,
    DELCHAIN,
    DELRULE,
    DELTABLE,
    NEWRULE,
    NFPROTO_IPV4,
    NFPROTO_IPV6,
    RULE_CHAIN,
    TABLE_NAME,
)
from kproxy.kernel.nftnl.transaction import NftSocket
from kproxy.services.addresses import Family

_LARGE_INPUT = 256 * 1024
"""Bytes of restore input from which on nobody listens while it is carried out: describing every rule to a listener
costs the kernel more than to add the rule."""

_PROTOCOLS = {Family.IPV4: NFPROTO_IPV4, Family.IPV6: NFPROTO_IPV6}
_NAME = {NEWRULE: RULE_CHAIN, DELRULE: RULE_CHAIN, DELCHAIN: CHAIN_NAME}
_HOOKED = {jump.source for jump in JUMPS}
_OURS = set[str]().union(*chain_names().values())


class NftWatch:
    """Calls back when another program deleted a table, or touched a chain of ours."""

    def __init__(self, tools: Collection[Tool], on_tampering: Callable[[], None]) -> None:
        """Begin to listen, on the running event loop, in this thread's network namespace.

        Raises:
            OSError: the kernel has no nf_tables
        """
        self._tools = tools
        self._families = {_PROTOCOLS[tool.family] for tool in tools}
        self._on_tampering = on_tampering
        self._questions = NftSocket()
        self._listener = NftListener()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._listener.fileno(), self._read)

    @contextlib.contextmanager
    def writing(self, size: int, transactions: int) -> Iterator[None]:
        """Leave what is heard until our own program is known; do not listen to much of it, but count: others may
        write, too.

        Args:
            size: of the restore input, in bytes
            transactions: that it takes
        """
        if size < _LARGE_INPUT:
            self._loop.remove_reader(self._listener.fileno())
            try:
                yield
            finally:
                self._loop.add_reader(self._listener.fileno(), self._read)
            return
        before = self._questions.generation()
        try:
            with self._listener.paused():
                yield
        finally:
            if self._questions.generation() - before != transactions:
                self._on_tampering()

    def close(self) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()
        self._questions.close()

    def _read(self) -> None:
        # A program's first netlink socket has its process id for an address.
        own = {process for tool in self._tools for process in tool.processes}
        if self._listener.heard(lambda message: message.port_id not in own and self._is_ours(message)):
            self._on_tampering()

    def _is_ours(self, message: Message) -> bool:
        body = message.body
        if body[0] not in self._families:
            return False
        kind, fields = message.type & 0xFF, attributes(body, 4)
        if _text(fields.get(TABLE_NAME)) not in TABLES:
            return False
        if kind == DELTABLE:
            return True
        if kind not in _NAME:
            return False
        chain = _text(fields.get(_NAME[kind]))
        return chain in _OURS or chain.startswith(PER_SERVICE) or (chain in _HOOKED and kind != NEWRULE)


def _text(field: memoryview | None) -> str:
    return bytes(field or b"").rstrip(b"\0").decode(errors="replace")
