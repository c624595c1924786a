"""Noticing that somebody else writes to a table."""

import contextlib
import struct
import sys
from collections.abc import Callable, Container, Iterator

from kproxy.kernel.netlink import NETLINK_NETFILTER, Message, NetlinkSocket, attributes, messages
from kproxy.kernel.nftnl.protocol import MULTICAST_GROUP, SUBSYSTEM, TABLE_NAME


class NftListener:
    """Receives nf_tables' notifications, in the network namespace of the thread that makes it."""

    def __init__(self, own_port_id: int | None = None) -> None:
        """Begin to listen.

        Args:
            own_port_id: the socket whose commits are not to be heard of; they wake nobody

        Raises:
            OSError: the kernel has no netfilter netlink
        """
        self._netlink = NetlinkSocket(NETLINK_NETFILTER)
        if own_port_id is not None:
            self._netlink.attach_filter(_drop_from(own_port_id))
        self._netlink.join(MULTICAST_GROUP)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Receive nothing for a while.

        To describe an element to listeners takes the kernel several times as long as to add it. It asks only whether
        anybody on the machine listens, in whatever network namespace (netlink_has_listeners).
        """
        self._netlink.leave(MULTICAST_GROUP)
        try:
            yield
        finally:
            self._netlink.join(MULTICAST_GROUP)

    def fileno(self) -> int:
        """Readable when something happened."""
        return self._netlink.fileno()

    def close(self) -> None:
        self._netlink.close()

    def heard(self, concerns: Callable[[Message], bool]) -> bool:
        """Read what is queued; whether something in it concerns the caller, or may have, as more came than fits."""
        heard = False
        for datagram in self._netlink.queued():
            if datagram is None:
                heard = True
                continue
            told = [m for m in messages(datagram) if m.type >> 8 == SUBSYSTEM and len(m.body) >= 4]
            heard = heard or any(map(concerns, told))
        return heard


class TableMonitor(NftListener):
    """Notices that somebody else writes to a table."""

    def __init__(self, table: str, families: Container[int], own_port_id: int) -> None:
        super().__init__(own_port_id)
        self._table = table
        self._families = families

    def touched(self) -> bool:
        """Read what is queued; whether the table may have changed."""
        return self.heard(self._is_ours)

    def _is_ours(self, message: Message) -> bool:
        if message.body[0] not in self._families:
            return False
        # The table's name is attribute 1 in the messages about tables, chains, rules, sets and elements alike.
        name = attributes(message.body, 4).get(TABLE_NAME, b"")
        return bytes(name).rstrip(b"\0").decode(errors="replace") == self._table


def _drop_from(port_id: int) -> bytes:
    """A socket filter that drops messages whose nlmsg_pid is the given one (linux/filter.h)."""
    load_word, jump_if_equal, return_ = 0x20, 0x15, 0x06
    as_loaded = int.from_bytes(port_id.to_bytes(4, sys.byteorder), "big")
    instruction = struct.Struct("=HBBI")
    return (
        instruction.pack(load_word, 0, 0, 12)
        + instruction.pack(jump_if_equal, 0, 1, as_loaded)
        + instruction.pack(return_, 0, 0, 0)
        + instruction.pack(return_, 0, 0, 0xFFFFFFFF)
    )
