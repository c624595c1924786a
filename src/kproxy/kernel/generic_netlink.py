"""Generic netlink: finding the number of a family by its name (linux/genetlink.h)."""

import errno
import struct

from kproxy.kernel.netlink import (
    HEADER,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    NetlinkSocket,
    acknowledgement,
    attributes,
    messages,
    text,
)

NETLINK_GENERIC = 16

_CONTROLLER, _GETFAMILY = 16, 3
_ATTR_FAMILY_ID, _ATTR_FAMILY_NAME = 1, 2
_HEADER = struct.Struct("=BBH")


def family_number(netlink: NetlinkSocket, name: str) -> int:
    """Ask for a family's number; the kernel loads the family's module on the way, where it may.

    Raises:
        OSError: there is none (ENOENT)
    """
    sequence = netlink.next_sequence()
    body = _HEADER.pack(_GETFAMILY, 1, 0) + text(_ATTR_FAMILY_NAME, name)
    netlink.send(HEADER.pack(HEADER.size + len(body), _CONTROLLER, NLM_F_REQUEST, sequence, 0) + body)
    while True:
        for message in messages(netlink.receive() or b""):
            if message.sequence != sequence:
                continue
            if message.type == NLMSG_ERROR:
                answer = acknowledgement(message)
                raise OSError(answer.error or errno.EPROTO, str(answer))
            number = attributes(message.body, _HEADER.size).get(_ATTR_FAMILY_ID)
            if number is not None:
                return int(struct.unpack("=H", number)[0])
