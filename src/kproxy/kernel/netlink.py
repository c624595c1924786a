"""Netlink: message framing and one socket type (linux/netlink.h)."""

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

T = TypeVar("T")

NETLINK_NETFILTER = 12

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK = 0x1, 0x4
NLM_F_ROOT, NLM_F_MATCH, NLM_F_DUMP = 0x100, 0x200, 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLM_F_DUMP_INTR = 0x10
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP, _NETLINK_DROP_MEMBERSHIP = 1, 2
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK = 10, 11
_NLMSGERR_ATTR_MSG, _NLMSGERR_ATTR_OFFS = 1, 2
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_INT_MAX = 2**31 - 1

HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port id."""
_ATTR = struct.Struct("=HH")


def attribute(type_: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return _ATTR.pack(4 + len(payload), type_) + payload + bytes(-len(payload) % 4)


def nested(type_: int, *attributes: bytes) -> bytes:
    return attribute(type_ | NLA_F_NESTED, b"".join(attributes))


def text(type_: int, value: str) -> bytes:
    """A NUL-terminated string."""
    return attribute(type_, value.encode() + b"\0")


def be32(type_: int, value: int) -> bytes:
    """A number in network order, as nf_tables has all of its numbers."""
    return attribute(type_, struct.pack(">I", value & 0xFFFFFFFF))


def be64(type_: int, value: int) -> bytes:
    return attribute(type_, struct.pack(">Q", value))


def attributes(data: bytes | memoryview, offset: int = 0) -> dict[int, memoryview]:
    """The attributes of a message or of a nest: type to payload. A type that recurs keeps its last payload."""
    return dict(each_attribute(data, offset))


def each_attribute(data: bytes | memoryview, offset: int = 0) -> Iterator[tuple[int, memoryview]]:
    """The attributes in order; stops at the first malformed one."""
    view = memoryview(data)
    end = len(view)
    while offset + 4 <= end:
        length, type_ = _ATTR.unpack_from(view, offset)
        if length < 4 or offset + length > end:
            return
        yield type_ & NLA_TYPE_MASK, view[offset + 4 : offset + length]
        offset += (length + 3) & ~3


class Message(NamedTuple):
    """A message that the kernel sent."""

    type: int
    flags: int
    sequence: int
    port_id: int
    body: memoryview


class Acknowledgement(NamedTuple):
    """The kernel's answer to one message of ours."""

    sequence: int
    error: int
    """An errno, 0 for success."""
    detail: str = ""
    """What the kernel says in words, if it does."""
    offset: int | None = None
    """Where in our message the offending attribute starts, in bytes from its header, if the kernel tells."""

    def __str__(self) -> str:
        reason = os.strerror(self.error)
        return f"{errno.errorcode.get(self.error, self.error)} ({self.detail or reason})"


def messages(datagram: bytes | memoryview) -> Iterator[Message]:
    """Split a datagram."""
    view = memoryview(datagram)
    offset = 0
    while offset + HEADER.size <= len(view):
        length, type_, flags, sequence, port_id = HEADER.unpack_from(view, offset)
        if length < HEADER.size or offset + length > len(view):
            return
        yield Message(type_, flags, sequence, port_id, view[offset + HEADER.size : offset + length])
        offset += (length + 3) & ~3


def acknowledgement(message: Message) -> Acknowledgement:
    """Read an NLMSG_ERROR (or the NLMSG_DONE that ends a dump)."""
    (code,) = struct.unpack_from("=i", message.body)
    if message.type == NLMSG_DONE or not message.flags & NLM_F_ACK_TLVS:
        return Acknowledgement(message.sequence, -code)
    start = 4 + HEADER.size
    if not message.flags & NLM_F_CAPPED and code:
        (echoed,) = struct.unpack_from("=I", message.body, 4)
        start = 4 + ((echoed + 3) & ~3)
    details = attributes(message.body, start)
    words = bytes(details.get(_NLMSGERR_ATTR_MSG, b"")).rstrip(b"\0").decode(errors="replace")
    offset = struct.unpack("=I", details[_NLMSGERR_ATTR_OFFS])[0] if _NLMSGERR_ATTR_OFFS in details else None
    return Acknowledgement(message.sequence, -code, words, offset)


def reread(read: Callable[[], T], times: int) -> T:
    """Read by dumps, and again as long as what they list changes meanwhile.

    Args:
        read: makes the dumps
        times: how often to read again

    Raises:
        OSError: EINTR when it changes all the time; whatever else `read` raises
    """
    for _ in range(times):
        try:
            return read()
        except InterruptedError:
            continue
    return read()


class NetlinkSocket:
    """A netlink socket in the network namespace of the thread that opens it."""

    def __init__(self, protocol: int, *, receive_buffer: int = 8 << 20) -> None:
        """Open and bind.

        Raises:
            OSError: the kernel lacks the protocol (EPROTONOSUPPORT), or too many open files
        """
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
            self._grow(_SO_RCVBUFFORCE, socket.SO_RCVBUF, receive_buffer)
            self._socket.bind((0, 0))
        except OSError:
            self._socket.close()
            raise
        self.port_id: int = self._socket.getsockname()[0]
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "NetlinkSocket":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def fileno(self) -> int:
        return self._socket.fileno()

    def next_sequence(self) -> int:
        self._sequence = (self._sequence + 1) & 0xFFFFFFFF
        return self._sequence

    def join(self, group: int) -> None:
        """Receive a multicast group's notifications."""
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)

    def leave(self, group: int) -> None:
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_DROP_MEMBERSHIP, group)

    def attach_filter(self, instructions: bytes) -> None:
        """Let a classic BPF program (an array of struct sock_filter) decide which messages are queued."""
        import ctypes

        program = ctypes.create_string_buffer(instructions)
        so_attach_filter = 26
        fprog = struct.pack("HL", len(instructions) // 8, ctypes.addressof(program))
        self._socket.setsockopt(socket.SOL_SOCKET, so_attach_filter, fprog)

    def send(self, datagram: bytes | bytearray | memoryview) -> None:
        """Send all of it as one datagram, making the send buffer large enough first.

        Raises:
            OSError: EMSGSIZE where this process may not have a buffer of that size
        """
        needed = len(datagram) + 1024
        if needed > self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF):
            self._grow(_SO_SNDBUFFORCE, socket.SO_SNDBUF, needed)
        self._socket.send(datagram)

    def receive(self, *, wait: bool = True) -> bytes | None:
        """One datagram; None when there is none and the caller does not wait.

        Raises:
            OSError: ENOBUFS when the kernel dropped messages because we were slow
        """
        try:
            return self._socket.recv(1 << 17, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return None

    def queued(self) -> Iterator[bytes | None]:
        """The datagrams that are there, without waiting; None in the place of those that did not fit (ENOBUFS)."""
        while True:
            try:
                datagram = self.receive(wait=False)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                yield None
                continue
            if datagram is None:
                return
            yield datagram

    def dump(self, type_: int, body: bytes) -> Iterator[Message]:
        """Ask for a dump and yield its messages.

        Raises:
            OSError: the kernel's error; EINTR when what was dumped changed meanwhile (ask again)
        """
        sequence = self.next_sequence()
        flags = NLM_F_REQUEST | NLM_F_DUMP
        self.send(HEADER.pack(HEADER.size + len(body), type_, flags, sequence, 0) + body)
        interrupted = False
        while True:
            for message in messages(self.receive() or b""):
                if message.sequence != sequence:
                    continue
                interrupted = interrupted or bool(message.flags & NLM_F_DUMP_INTR)
                if message.type in (NLMSG_ERROR, NLMSG_DONE):
                    error = acknowledgement(message).error
                    if error or interrupted:
                        raise OSError(error or errno.EINTR, os.strerror(error or errno.EINTR))
                    return
                yield message

    def _grow(self, forced: int, plain: int, size: int) -> None:
        size = min(size, _INT_MAX // 2)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, forced, size)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, plain, size)
