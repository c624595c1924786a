"""Who is at the other end of a Unix socket, and whether it may administer the network (unix(7), capabilities(7))."""

import os
import socket
import struct
from pathlib import Path
from typing import NamedTuple

_UCRED = struct.Struct("=iII")
_CAP_NET_ADMIN = 12


class Peer(NamedTuple):
    pid: int
    """0 when the process cannot be seen from this PID namespace."""
    uid: int

    @property
    def may_administer(self) -> bool:
        """Whether it is root, of our own user, or may at least program the kernel's network as we do."""
        return self.uid in {0, os.geteuid()} or (self.pid > 0 and _has_net_admin(self.pid))

    def __str__(self) -> str:
        return f"process {self.pid}" if self.pid else "a process of another container"


def peer_of(connection: socket.socket) -> Peer:
    """The process that connected; for whoever connected, the one that listens."""
    pid, uid, _ = _UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return Peer(pid, uid)


def _has_net_admin(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> _CAP_NET_ADMIN & 1)
    return False
