"""Reading entries of the connection tracking table.

The kernel writes both tuples of an entry first, and always in the same way, so one fixed layout reads all but
the odd ones (such as entries with a zone in one direction only), which the attributes are then taken from one by one.
"""

import struct
from collections.abc import Iterable, Iterator

from kproxy.kernel.conntrack.protocol import (
    GENERIC_LENGTH,
    ID,
    IP_DESTINATION,
    IP_SOURCE,
    PROTO_DESTINATION_PORT,
    PROTO_NUMBER,
    PROTO_SOURCE_PORT,
    TUPLE_IP,
    TUPLE_ORIG,
    TUPLE_PROTO,
    TUPLE_REPLY,
    ZONE,
)
from kproxy.kernel.netlink import NLA_F_NESTED, attribute, attributes
from kproxy.services.addresses import Family
from kproxy.services.flows import Flow


class EntryReader:
    """Reads the entries of one IP family and protocol."""

    def __init__(self, family: Family, protocol: int) -> None:
        """Read entries of that family.

        Args:
            family: what was dumped
            protocol: an IP protocol number; entries of others are skipped
        """
        self._source, self._destination = IP_SOURCE[family], IP_DESTINATION[family]
        self._protocol = protocol
        size = family.length
        source, destination = (_head(type_, size) for type_ in (self._source, self._destination))
        ip = len(source) + len(destination) + 2 * size
        number, ports = _head(PROTO_NUMBER, 1), [_head(t, 2) for t in (PROTO_SOURCE_PORT, PROTO_DESTINATION_PORT)]
        proto = len(number) + 4 + 2 * (4 + 4)
        to_source = _nest_head(TUPLE_IP, ip) + source
        to_number = _nest_head(TUPLE_PROTO, proto) + number
        tuple_size = 4 + ip + 4 + proto
        self._layout = struct.Struct(
            f"!{GENERIC_LENGTH}x 12s {size}x 4s {size}s 8s B3x 4s 4x 4s H2x 12s {size}s 4s {size}x 8s 4x 4s 2s"
        )
        self._heads = (
            *(_nest_head(TUPLE_ORIG, tuple_size) + to_source, destination, to_number, *ports),
            *(_nest_head(TUPLE_REPLY, tuple_size) + to_source, destination, to_number, ports[0]),
        )

    def read(self, bodies: Iterable[memoryview]) -> Iterator[Flow]:
        """The flows that message bodies describe, malformed ones left out."""
        unpack, size, heads, protocol = self._layout.unpack_from, self._layout.size, self._heads, self._protocol
        for body in bodies:
            if len(body) >= size:
                # Named by what follows: a .. i are the heads of attributes.
                a, b, address, c, number, d, e, port, f, answerer, g, h, i, answering_port = unpack(body)
                if (a, b, c, d, e, f, g, h, i) == heads:
                    if number == protocol:
                        yield Flow(address, port, answerer + answering_port, body)
                    continue
            flow = self._read_attributes(body)
            if flow is not None:
                yield flow

    def _read_attributes(self, body: memoryview) -> Flow | None:
        entry = attributes(body, GENERIC_LENGTH)
        try:
            original, reply = attributes(entry[TUPLE_ORIG]), attributes(entry[TUPLE_REPLY])
            original_ip, original_proto = attributes(original[TUPLE_IP]), attributes(original[TUPLE_PROTO])
            reply_ip, reply_proto = attributes(reply[TUPLE_IP]), attributes(reply[TUPLE_PROTO])
            if original_proto[PROTO_NUMBER][0] != self._protocol:
                return None
            backend = bytes(reply_ip[self._source]) + bytes(reply_proto[PROTO_SOURCE_PORT])
            port = int.from_bytes(original_proto[PROTO_DESTINATION_PORT], "big")
            return Flow(bytes(original_ip[self._destination]), port, backend, body)
        except (KeyError, IndexError):
            return None


def identity(entry: memoryview) -> bytes:
    """The attributes that name an entry to the kernel: its original tuple, its zone, and its number.

    By the number, a hash that includes where in memory the entry is, the kernel in most cases tells a flow that
    has begun anew under the same tuple from the old one.
    """
    found = attributes(entry, GENERIC_LENGTH)
    parts = [attribute(TUPLE_ORIG | NLA_F_NESTED, bytes(found[TUPLE_ORIG]))]
    parts += (attribute(type_, bytes(found[type_])) for type_ in (ZONE, ID) if type_ in found)
    return b"".join(parts)


def _head(type_: int, payload: int) -> bytes:
    return struct.pack("=HH", 4 + payload, type_)


def _nest_head(type_: int, payload: int) -> bytes:
    return _head(type_ | NLA_F_NESTED, payload)
