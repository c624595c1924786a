"""What nfnetlink_log tells of a packet."""

from typing import NamedTuple

from kproxy.kernel.netlink import Message, attributes

SUBSYSTEM = 4
"""NFNL_SUBSYS_ULOG."""
PACKET, CONFIG = SUBSYSTEM << 8 | 0, SUBSYSTEM << 8 | 1

_HEADER, _MARK, _INPUT, _OUTPUT, _PAYLOAD, _PREFIX = 1, 2, 4, 5, 9, 10
_HOOK = 2
"""Where in struct nfulnl_msg_packet_hdr the hook's number is."""
_GENERIC_LENGTH = 4


class LoggedPacket(NamedTuple):
    """A packet as it was when it was logged."""

    protocol_family: int
    """NFPROTO_*, as linux/netfilter.h numbers them."""
    hook: int
    """NF_INET_*, of the families IPv4 and IPv6."""
    prefix: str
    """What whoever logged it says."""
    payload: bytes
    """From the network header on, cut at the length that the socket asked for."""
    mark: int = 0
    input_interface: int = 0
    """Its index; 0: the packet has not come in by one, or the hook does not know."""
    output_interface: int = 0


def read_packet(message: Message) -> LoggedPacket | None:
    """Read a message; None when it is none about a packet, or incomplete."""
    if message.type != PACKET or len(message.body) < _GENERIC_LENGTH:
        return None
    found = attributes(message.body, _GENERIC_LENGTH)
    header = found.get(_HEADER, b"")
    if len(header) <= _HOOK:
        return None
    return LoggedPacket(
        protocol_family=message.body[0],
        hook=header[_HOOK],
        prefix=bytes(found.get(_PREFIX, b"")).partition(b"\0")[0].decode(errors="replace"),
        payload=bytes(found.get(_PAYLOAD, b"")),
        mark=_number(found.get(_MARK)),
        input_interface=_number(found.get(_INPUT)),
        output_interface=_number(found.get(_OUTPUT)),
    )


def _number(value: memoryview | None) -> int:
    return int.from_bytes(value or b"", "big")
