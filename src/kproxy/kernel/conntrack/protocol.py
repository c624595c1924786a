"""ctnetlink's messages and attributes (linux/netfilter/nfnetlink_conntrack.h)."""

import socket
import struct

from kproxy.kernel.netlink import attribute, nested
from kproxy.services import objects
from kproxy.services.addresses import Address, Family

_SUBSYSTEM = 1
GET, DELETE = _SUBSYSTEM << 8 | 1, _SUBSYSTEM << 8 | 2

TUPLE_ORIG, TUPLE_REPLY, ID, ZONE, FILTER = 1, 2, 12, 18, 25
TUPLE_IP, TUPLE_PROTO = 1, 2
PROTO_NUMBER, PROTO_SOURCE_PORT, PROTO_DESTINATION_PORT = 1, 2, 3
FILTER_ORIG_FLAGS = 1

# CTA_FILTER_ORIG_FLAGS: which parts of CTA_TUPLE_ORIG an entry must equal (net/netfilter/nf_conntrack_netlink.c).
_BY_DESTINATION, _BY_PROTOCOL, _BY_DESTINATION_PORT = 1 << 1, 1 << 3, 1 << 5

ADDRESS_FAMILY = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
PROTOCOL_NUMBER: dict[objects.Protocol, int] = {"TCP": 6, "UDP": 17, "SCTP": 132}
IP_SOURCE = {Family.IPV4: 1, Family.IPV6: 3}
IP_DESTINATION = {Family.IPV4: 2, Family.IPV6: 4}

GENERIC_LENGTH = 4
"""Bytes of the struct nfgenmsg in front of the attributes."""


def generic(family: int) -> bytes:
    """The nfgenmsg in front of the attributes: an address family, version 0, no resource."""
    return bytes((family, 0, 0, 0))


def dump_filter(protocol: int, family: Family, address: Address | None, port: int | None) -> bytes:
    """Attributes that let a dump return only entries of that protocol and original destination (Linux 5.8).

    An IPv6 address narrows nothing: ctnetlink_filter_match_tuple compares those the wrong way round (seen in
    Linux 6.18) and would leave out the very entries that are asked for.
    """
    flags = _BY_PROTOCOL
    number = attribute(PROTO_NUMBER, bytes((protocol,)))
    parts = []
    if address is not None and family is Family.IPV4:
        flags |= _BY_DESTINATION
        parts.append(nested(TUPLE_IP, attribute(IP_DESTINATION[Family.IPV4], address)))
    if port is None:
        parts.append(nested(TUPLE_PROTO, number))
    else:
        flags |= _BY_DESTINATION_PORT
        to_port = attribute(PROTO_DESTINATION_PORT, port.to_bytes(2, "big"))
        parts.append(nested(TUPLE_PROTO, number, to_port))
    wanted = nested(FILTER, attribute(FILTER_ORIG_FLAGS, struct.pack("=I", flags)))
    return nested(TUPLE_ORIG, *parts) + wanted
