"""Sockets of another process, taken hold of through its descriptors (pidfd_getfd(2))."""

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_SYS_PIDFD_GETFD = 438
_SOL_NETLINK, _NETLINK_LIST_MEMBERSHIPS = 270, 9
_NETLINK_NETFILTER = 12
_libc = ctypes.CDLL(None, use_errno=True)


def _open_files(pid: int) -> Iterator[tuple[int, str]]:
    """Descriptors and what they stand for; some of the process's may come and go meanwhile."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield int(entry.name), str(entry.readlink())


def _sockets(pid: int) -> Iterator[socket.socket]:
    pidfd = os.pidfd_open(pid)
    try:
        for number, target in _open_files(pid):
            if not target.startswith("socket:"):
                continue
            taken = _libc.syscall(_SYS_PIDFD_GETFD, pidfd, number, 0)
            if taken < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            with socket.socket(fileno=taken) as sock:
                yield sock
    finally:
        os.close(pidfd)


def shrink_notification_buffers(pid: int) -> int:
    """Give a process's sockets that listen to netfilter the smallest receive buffer; returns how many there are."""
    found = 0
    for sock in _sockets(pid):
        if sock.family != socket.AF_NETLINK or sock.proto != _NETLINK_NETFILTER:
            continue
        groups = sock.getsockopt(_SOL_NETLINK, _NETLINK_LIST_MEMBERSHIPS, 16)
        if any(struct.unpack(f"{len(groups) // 4}I", groups)):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            found += 1
    return found


def writable_files(pid: int) -> list[str]:
    """The files that a process has open for writing, those in memory left out."""
    found = []
    for number, target in _open_files(pid):
        flags = int(Path(f"/proc/{pid}/fdinfo/{number}").read_text().split("flags:")[1].split()[0], 8)
        if target.startswith("/") and not target.startswith(("/dev/", "/memfd:")) and flags & os.O_ACCMODE:
            found.append(target)
    return found
