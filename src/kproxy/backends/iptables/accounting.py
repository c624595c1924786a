"""nfacct: packet counters that rules refer to by name (linux/netfilter/nfnetlink_acct.h)."""

import errno
from collections.abc import Iterable

from kproxy.kernel.netlink import (
    HEADER,
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    NetlinkSocket,
    acknowledgement,
    attributes,
    messages,
    text,
)

INVALID_DROPPED = "ct_state_invalid_dropped_pkts"
"""Packets that KUBE-FORWARD dropped because conntrack could not place them."""
LOCALHOST_ACCEPTED = "localhost_nps_accepted_pkts"
"""Packets to NodePorts on 127.0.0.0/8."""
COUNTERS = (INVALID_DROPPED, LOCALHOST_ACCEPTED)

_SUBSYSTEM, _NEW, _GET, _DELETE = 7, 0, 1, 3
_NAME, _PACKETS = 1, 2
_GENERIC = bytes(4)
"""struct nfgenmsg: no family, version 0."""


def create() -> bool:
    """Make the counters in this thread's network namespace, unless they exist; False where the kernel has no nfacct.

    Raises:
        OSError: not permitted
    """
    return _each(COUNTERS, _NEW, NLM_F_CREATE)


def delete() -> None:
    """Remove the counters; those that a rule still uses stay.

    Raises:
        OSError: not permitted
    """
    _each(COUNTERS, _DELETE, 0)


def read() -> dict[str, int]:
    """The counters' packets by name; empty where the kernel has no nfacct.

    Raises:
        OSError: the kernel could not be asked
    """
    found: dict[str, int] = {}
    with NetlinkSocket(NETLINK_NETFILTER) as socket:
        try:
            for message in socket.dump(_SUBSYSTEM << 8 | _GET, _GENERIC):
                fields = attributes(message.body, len(_GENERIC))
                name = bytes(fields.get(_NAME, b"")).rstrip(b"\0").decode(errors="replace")
                if name in COUNTERS and _PACKETS in fields:
                    found[name] = int.from_bytes(fields[_PACKETS], "big")
        except OSError as error:
            if error.errno not in _MISSING:
                raise
    return found


_MISSING = (errno.EINVAL, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT)
"""What nfnetlink answers when it has no such subsystem."""
_SETTLED = (0, errno.EEXIST, errno.EBUSY, errno.ENOENT)


def _each(names: Iterable[str], type_: int, flags: int) -> bool:
    with NetlinkSocket(NETLINK_NETFILTER) as socket:
        for name in names:
            error = _request(socket, type_, flags, _GENERIC + text(_NAME, name))
            if error in _MISSING:
                return False
            if error not in _SETTLED:
                raise OSError(error, f"nfacct {name}: {errno.errorcode.get(error, error)}")
    return True


def _request(socket: NetlinkSocket, type_: int, flags: int, body: bytes) -> int:
    """Send one message; returns the errno of the answer."""
    sequence = socket.next_sequence()
    flags |= NLM_F_REQUEST | NLM_F_ACK
    socket.send(HEADER.pack(HEADER.size + len(body), _SUBSYSTEM << 8 | type_, flags, sequence, 0) + body)
    while True:
        for message in messages(socket.receive() or b""):
            if message.sequence == sequence and message.type == NLMSG_ERROR:
                return acknowledgement(message).error
