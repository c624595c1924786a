"""Entries put into the connection tracking table of the test's network namespace, and what conntrack(8) finds there."""

import socket
import struct
import subprocess
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from kproxy.kernel.netlink import (
    HEADER,
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    NetlinkSocket,
    acknowledgement,
    attribute,
    be32,
    messages,
    nested,
)
from kproxy.services.addresses import parse_address
from kproxy.services.flows import Backend

_NEW_ENTRY = 1 << 8
_AT_ONCE = 500
TCP, UDP, SCTP = 6, 17, 132
_PROTOCOL_STATES = {
    TCP: nested(4, nested(1, attribute(1, b"\3"))),
    SCTP: nested(4, nested(3, attribute(1, b"\3"), be32(2, 1), be32(3, 2))),
}


class Entry(NamedTuple):
    """A flow from `source` to `destination`, whose answers come from `backend`."""

    source: tuple[str, int]
    destination: tuple[str, int]
    backend: tuple[str, int]
    protocol: int = UDP
    zone: int = 0
    original_zone: int = 0
    """The zone of the original direction alone."""


def packed(text: str) -> bytes:
    address = parse_address(text)
    assert address is not None
    return address


def backend(address: str, port: int) -> Backend:
    return packed(address) + port.to_bytes(2, "big")


def insert(entries: Iterable[Entry]) -> None:
    """Put entries into the table, as if packets had made them."""
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        parts: list[bytes] = []
        for entry in entries:
            body = _body(entry)
            flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK
            parts += (HEADER.pack(HEADER.size + len(body), _NEW_ENTRY, flags, netlink.next_sequence(), 0), body)
            if len(parts) == 2 * _AT_ONCE:
                _send(netlink, parts)
        if parts:
            _send(netlink, parts)


def _send(netlink: NetlinkSocket, parts: list[bytes]) -> None:
    netlink.send(b"".join(parts))
    unanswered = len(parts) // 2
    parts.clear()
    while unanswered:
        for message in messages(netlink.receive() or b""):
            assert acknowledgement(message).error == 0, acknowledgement(message)
            unanswered -= 1


def _body(entry: Entry) -> bytes:
    family = socket.AF_INET6 if ":" in entry.source[0] else socket.AF_INET
    confirmed = 1 << 3
    zone = attribute(18, struct.pack(">H", entry.zone)) if entry.zone else b""
    original_zone = attribute(3, struct.pack(">H", entry.original_zone)) if entry.original_zone else b""
    return (
        bytes((family, 0, 0, 0))
        + _tuple(1, entry.source, entry.destination, entry.protocol, original_zone)
        + _tuple(2, entry.backend, entry.source, entry.protocol)
        + be32(3, confirmed)
        + be32(7, 600)
        + zone
        + _PROTOCOL_STATES.get(entry.protocol, b"")
    )


def _tuple(
    type_: int, source: tuple[str, int], destination: tuple[str, int], protocol: int, more: bytes = b""
) -> bytes:
    first = 3 if ":" in source[0] else 1
    addresses = nested(1, attribute(first, packed(source[0])), attribute(first + 1, packed(destination[0])))
    ports = (attribute(2, struct.pack(">H", source[1])), attribute(3, struct.pack(">H", destination[1])))
    return nested(type_, addresses, nested(2, attribute(1, bytes((protocol,))), *ports), more)


def listed(*arguments: str) -> list[str]:
    """The lines that `conntrack -L` prints in this namespace."""
    command = ["conntrack", "-L", "-o", "extended,id", *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.splitlines()


def destinations(*arguments: str) -> Counter[tuple[str, int]]:
    """How many entries `conntrack -L` prints, by original destination."""
    counts: Counter[tuple[str, int]] = Counter()
    for line in listed(*arguments):
        fields = dict(reversed([part.split("=", 1) for part in line.split() if "=" in part]))
        counts[fields["dst"], int(fields["dport"])] += 1
    return counts
