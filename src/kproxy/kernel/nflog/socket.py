"""The socket that receives what is logged to one group."""

import struct
from collections.abc import Iterator

from kproxy.kernel.netlink import NETLINK_NETFILTER, NetlinkSocket, attribute, be32, messages
from kproxy.kernel.nflog.packets import CONFIG, LoggedPacket, read_packet
from kproxy.kernel.requests import Request, perform

_COMMAND, _MODE, _THRESHOLD = 1, 2, 5
_BIND = 1
_COPY_PACKET = 2
_AF_UNSPEC = 0


class LogSocket:
    """Has a group of the calling thread's network namespace for itself, until it is closed or its process ends."""

    def __init__(self, group: int, *, length: int) -> None:
        """Take the group.

        Args:
            group: 0 to 65535; `-j NFLOG` and whatever logs without naming one use 0
            length: bytes of each packet that are told

        Raises:
            OSError: EPERM, another socket has the group (or this process may not administer the network); EINVAL or
                EOPNOTSUPP, the kernel has no nfnetlink_log
        """
        self._netlink = NetlinkSocket(NETLINK_NETFILTER)
        generic = struct.pack(">BBH", _AF_UNSPEC, 0, group)
        mode = struct.pack(">IBx", length, _COPY_PACKET)
        # One packet in each datagram, at once: by default, a hundred are waited for, or a second.
        settings = attribute(_COMMAND, bytes((_BIND,))) + attribute(_MODE, mode) + be32(_THRESHOLD, 1)
        try:
            performed = perform(self._netlink, [Request(CONFIG, 0, generic + settings, f"group {group}")])
            for refusal in performed.refused:
                raise OSError(refusal.answer.error, str(refusal))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Give the group back."""
        self._netlink.close()

    def fileno(self) -> int:
        """Readable when something was logged."""
        return self._netlink.fileno()

    def packets(self) -> Iterator[LoggedPacket | None]:
        """What is queued, in the order in which it was logged; None in the place of those that did not fit."""
        for datagram in self._netlink.queued():
            if datagram is None:
                yield None
                continue
            for message in messages(datagram):
                if (packet := read_packet(message)) is not None:
                    yield packet
