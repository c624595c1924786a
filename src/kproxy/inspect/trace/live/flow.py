"""What connection tracking made of one flow."""

from typing import NamedTuple

from kproxy.kernel.conntrack import protocol as ct
from kproxy.kernel.netlink import (
    HEADER,
    NETLINK_NETFILTER,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    NetlinkSocket,
    attribute,
    attributes,
    messages,
    nested,
)
from kproxy.services.addresses import Address, Family
from kproxy.services.objects import Protocol


class FlowName(NamedTuple):
    """The original direction of a flow."""

    source: Address
    source_port: int
    destination: Address
    port: int
    protocol: Protocol


class Translated(NamedTuple):
    """Where a flow really goes, read off the direction of its answers."""

    destination: Address
    port: int
    source: Address
    """The client's address as the endpoint sees it."""


def look_up(name: FlowName) -> Translated | None:
    """Ask for a flow, in the network namespace of the calling thread; None when it is not known, or cannot be asked."""
    family = Family.of(name.destination)
    original = nested(
        ct.TUPLE_ORIG,
        nested(
            ct.TUPLE_IP,
            attribute(ct.IP_SOURCE[family], name.source),
            attribute(ct.IP_DESTINATION[family], name.destination),
        ),
        nested(
            ct.TUPLE_PROTO,
            attribute(ct.PROTO_NUMBER, bytes((ct.PROTOCOL_NUMBER[name.protocol],))),
            attribute(ct.PROTO_SOURCE_PORT, name.source_port.to_bytes(2, "big")),
            attribute(ct.PROTO_DESTINATION_PORT, name.port.to_bytes(2, "big")),
        ),
    )
    body = ct.generic(ct.ADDRESS_FAMILY[family]) + original
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        sequence = netlink.next_sequence()
        netlink.send(HEADER.pack(HEADER.size + len(body), ct.GET, NLM_F_REQUEST, sequence, 0) + body)
        while True:
            for message in messages(netlink.receive() or b""):
                if message.sequence == sequence:
                    return None if message.type == NLMSG_ERROR else _read(message.body, family)


def _read(body: memoryview, family: Family) -> Translated | None:
    try:
        reply = attributes(attributes(body, ct.GENERIC_LENGTH)[ct.TUPLE_REPLY])
        addresses, ports = attributes(reply[ct.TUPLE_IP]), attributes(reply[ct.TUPLE_PROTO])
        return Translated(
            bytes(addresses[ct.IP_SOURCE[family]]),
            int.from_bytes(ports[ct.PROTO_SOURCE_PORT], "big"),
            bytes(addresses[ct.IP_DESTINATION[family]]),
        )
    except KeyError:
        return None
