"""The headers of a probe's packets, as far as they tell one from another."""

import struct
from typing import NamedTuple

from kproxy.kernel.conntrack.protocol import PROTOCOL_NUMBER
from kproxy.services.addresses import Address

_PORTS = struct.Struct(">HH")
_FRAGMENT_OFFSET = 0x1FFF
_IPV6_LENGTH = 40
_TCP = PROTOCOL_NUMBER["TCP"]
_TCP_SEQUENCE = slice(4, 8)
_TCP_OPTIONS = 20
_END_OF_OPTIONS, _NO_OPERATION, _TIMESTAMPS = 0, 1, 8


class Header(NamedTuple):
    source: Address
    destination: Address
    protocol: int
    """As IANA numbers them."""
    source_port: int
    port: int
    transmission: bytes
    """Stays the same through address translation, and is another when the same segment is sent again. Over IPv6, which
    numbers no packets, it takes TCP's timestamps for that (RFC 7323)."""

    @property
    def endpoint(self) -> tuple[Address, int]:
        """Where it goes."""
        return self.destination, self.port


def read_header(packet: bytes) -> Header | None:
    """Read a packet from its IP header on; None when it is not the beginning of one with ports.

    IPv6 extension headers are not looked behind: probes have none.
    """
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        start = (packet[0] & 0xF) * 4
        if int.from_bytes(packet[6:8], "big") & _FRAGMENT_OFFSET or start < 20:
            return None
        return _header(packet[12:16], packet[16:20], packet[9], packet[start:], packet[4:6])
    if version == 6 and len(packet) >= _IPV6_LENGTH:
        transport = packet[_IPV6_LENGTH:]
        transmission = transport[_TCP_SEQUENCE] + _timestamp(transport) if packet[6] == _TCP else b""
        return _header(packet[8:24], packet[24:40], packet[6], transport, transmission)
    return None


def _header(
    source: Address, destination: Address, protocol: int, transport: bytes, transmission: bytes
) -> Header | None:
    if protocol not in PROTOCOL_NUMBER.values() or len(transport) < _PORTS.size:
        return None
    source_port, port = _PORTS.unpack_from(transport)
    return Header(source, destination, protocol, source_port, port, transmission)


def _timestamp(segment: bytes) -> bytes:
    """A TCP segment's timestamps option; empty without one."""
    end = (segment[12] >> 4) * 4 if len(segment) > 12 else 0
    options = segment[_TCP_OPTIONS:end]
    at = 0
    while at + 1 < len(options) and options[at] != _END_OF_OPTIONS:
        if options[at] == _NO_OPERATION:
            at += 1
            continue
        length = options[at + 1]
        if options[at] == _TIMESTAMPS or length < 2:
            return options[at : at + length]
        at += length
    return b""
