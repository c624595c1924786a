"""Has nfnetlink_log as an IP family's logger for a while, and puts back what was there.

What was there is written down first, as the comment of a table of nf_tables that has no chains: it is in the network
namespace that the setting belongs to, and like the setting it outlasts this process, should that be killed. Whoever
borrows next finds it. Only who has nfnetlink_log's group 0 may do any of this, so that nobody takes the note of
another who is still at work for one that was left.
"""

import errno

from kproxy.kernel.netlink import attributes, reread
from kproxy.kernel.nflog.loggers import NFNETLINK_LOG, NO_LOGGER, read_logger, set_logger
from kproxy.kernel.nftnl import protocol
from kproxy.kernel.nftnl.protocol import Message
from kproxy.kernel.nftnl.transaction import NftSocket
from kproxy.services.addresses import Family

NOTE = "kproxy-trace-logger"
"""The table's name."""
_NFPROTO = {Family.IPV4: protocol.NFPROTO_IPV4, Family.IPV6: protocol.NFPROTO_IPV6}
_COMMENT = 0
"""NFTNL_UDATA_TABLE_COMMENT (libnftnl/udata.h)."""
_RETRIES = 10


def borrow(family: Family) -> bool:
    """Make nfnetlink_log the logger; returns whether it was another, which `give_back` then puts back.

    Raises:
        OSError: it cannot be set, or what is set cannot be written down; nothing has changed then
    """
    give_back(family)
    earlier = read_logger(family)
    if earlier == NFNETLINK_LOG:
        return False
    number = _NFPROTO[family]
    _commit(protocol.new_table(number, NOTE, protocol.comment(_COMMENT, earlier)))
    try:
        set_logger(family, NFNETLINK_LOG)
    except OSError:
        _commit(protocol.delete_table(number, NOTE))
        raise
    return True


def give_back(family: Family) -> bool:
    """Put back what is written down; returns whether anything was.

    Raises:
        OSError: it cannot be put back, and stays written down
    """
    earlier = noted(family)
    if earlier is None:
        return False
    if read_logger(family) == NFNETLINK_LOG:  # else somebody has set another meanwhile
        try:
            set_logger(family, earlier)
        except FileNotFoundError:  # its module is no longer there
            set_logger(family, NO_LOGGER)
    _commit(protocol.delete_table(_NFPROTO[family], NOTE))
    return True


def noted(family: Family) -> str | None:
    """The logger that is written down; None when none is, or the kernel has no nf_tables.

    Raises:
        OSError: EPERM
    """
    socket = NftSocket()
    try:
        return reread(lambda: _noted(socket, _NFPROTO[family]), _RETRIES)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return None
        raise
    finally:
        socket.close()


def _noted(socket: NftSocket, number: int) -> str | None:
    found = None
    type_ = protocol.SUBSYSTEM << 8 | protocol.GETTABLE
    for answer in socket.netlink.dump(type_, protocol.generic(number)):
        table = attributes(answer.body, 4)
        name = bytes(table.get(protocol.TABLE_NAME, b"")).rstrip(b"\0")
        if name.decode(errors="replace") == NOTE:
            userdata = bytes(table.get(protocol.TABLE_USERDATA, b""))
            found = userdata[2:].partition(b"\0")[0].decode(errors="replace") or NO_LOGGER
    return found


def _commit(message: Message) -> None:
    socket = NftSocket()
    try:
        result = socket.commit([message])
    finally:
        socket.close()
    if isinstance(result, list):
        raise OSError(result[0].answer.error or errno.EIO, str(result[0]))
