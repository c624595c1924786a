"""The connection tracking table of a network namespace: finding entries and deleting them."""

import errno
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

from kproxy.kernel.conntrack.entries import EntryReader, identity
from kproxy.kernel.conntrack.protocol import ADDRESS_FAMILY, DELETE, GET, PROTOCOL_NUMBER, dump_filter, generic
from kproxy.kernel.netlink import (
    HEADER,
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    NetlinkSocket,
    acknowledgement,
    messages,
)
from kproxy.services import objects
from kproxy.services.addresses import Address, Family
from kproxy.services.flows import Flow

_DELETIONS_AT_ONCE = 1024
"""The kernel queues an answer for each that fails, about a kilobyte of the receive buffer."""


class Deletion(NamedTuple):
    """What became of the entries that should go; those missing from both counts were gone already."""

    deleted: int
    refused: dict[int, int]
    """How many the kernel would not delete, by errno."""


class ConntrackTable:
    """A socket to the table of the network namespace of the thread that opens it. Used by one thread at a time."""

    def __init__(self) -> None:
        """Open.

        Raises:
            OSError: the kernel has no netfilter netlink (EPROTONOSUPPORT)
        """
        self._netlink = NetlinkSocket(NETLINK_NETFILTER)
        self._filters = True

    def close(self) -> None:
        self._netlink.close()

    def flows(
        self, family: Family, protocol: objects.Protocol, *, address: Address | None = None, port: int | None = None
    ) -> Iterator[Flow]:
        """The flows of a protocol, those to other addresses or ports than the given ones left out where the kernel can.

        Only the protocol is certain: kernels before 5.8 show the entries of every address and port, later ones
        those of every IPv6 address. All of them walk their whole table.

        Raises:
            OSError: the kernel cannot (EOPNOTSUPP, EINVAL: no ctnetlink) or may not (EPERM) show its table
        """
        number = PROTOCOL_NUMBER[protocol]
        reader = EntryReader(family, number)
        if self._filters:
            body = generic(ADDRESS_FAMILY[family]) + dump_filter(number, family, address, port)
            try:
                yield from reader.read(self._dump(body))
                return
            except OSError as error:
                if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                    raise
            self._filters = False  # refused as a whole, before the first entry
        yield from reader.read(self._dump(generic(ADDRESS_FAMILY[family])))

    def delete(self, family: Family, flows: Iterable[Flow]) -> Deletion:
        """Forget flows that `flows` found.

        Raises:
            OSError: the messages could not be sent (ENOBUFS), or are not permitted (EPERM)
        """
        remaining = iter(flows)
        deleted = 0
        refused: dict[int, int] = {}
        while chunk := list(islice(remaining, _DELETIONS_AT_ONCE)):
            errors = self._delete([generic(ADDRESS_FAMILY[family]) + identity(flow.entry) for flow in chunk])
            deleted += len(chunk) - len(errors)
            for error in errors:
                if error != errno.ENOENT:
                    refused[error] = refused.get(error, 0) + 1
        return Deletion(deleted, refused)

    def _dump(self, body: bytes) -> Iterator[memoryview]:
        for message in self._netlink.dump(GET, body):
            if message.type == GET & 0xFF00:  # IPCTNL_MSG_CT_NEW: an entry
                yield message.body

    def _delete(self, bodies: list[bytes]) -> list[int]:
        """Send deletions in one datagram; returns the errors. The kernel answers failures, and the last one always."""
        parts: list[bytes] = []
        sequence = 0
        for i, body in enumerate(bodies):
            flags = NLM_F_REQUEST | (NLM_F_ACK if i == len(bodies) - 1 else 0)
            sequence = self._netlink.next_sequence()
            parts += (HEADER.pack(HEADER.size + len(body), DELETE, flags, sequence, 0), body)
        first = (sequence - len(bodies) + 1) & 0xFFFFFFFF
        self._netlink.send(b"".join(parts))
        errors = []
        while True:
            for message in messages(self._netlink.receive() or b""):
                position = (message.sequence - first) & 0xFFFFFFFF
                if message.type != NLMSG_ERROR or position >= len(bodies):
                    continue
                answer = acknowledgement(message)
                if answer.error == errno.EPERM:  # for the datagram; the other messages get no answer
                    raise PermissionError(answer.error, os.strerror(answer.error))
                if answer.error:
                    errors.append(answer.error)
                if message.sequence == sequence:
                    return errors
