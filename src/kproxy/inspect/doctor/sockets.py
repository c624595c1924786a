"""Local sockets that wait for clients, from /proc (proc_pid_net(5)), and the programs that hold them."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_NET = Path("/proc/thread-self/net")
_LISTENING, _UNCONNECTED = "0A", "07"


class LocalSocket(NamedTuple):
    protocol: str
    """`TCP` or `UDP`."""
    port: int
    inode: int


def waiting_sockets() -> Iterator[LocalSocket]:
    """The TCP sockets that listen and the UDP sockets that take from anybody, in the thread's network namespace."""
    for name, protocol, state in (
        ("tcp", "TCP", _LISTENING),
        ("tcp6", "TCP", _LISTENING),
        ("udp", "UDP", _UNCONNECTED),
        ("udp6", "UDP", _UNCONNECTED),
    ):
        try:
            lines = (_NET / name).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # a kernel without that family
        for line in lines:
            words = line.split()
            if len(words) > 9 and words[3] == state:
                yield LocalSocket(protocol, int(words[1].rpartition(":")[2], 16), int(words[9]))


def holder(inode: int) -> str:
    """The program that holds a socket, such as `nginx (process 812)`; empty when this user may not see it."""
    wanted = f"socket:[{inode}]"
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            if any(os.readlink(link) == wanted for link in (entry / "fd").iterdir()):  # noqa: PTH115 - not a path
                return f"{(entry / 'comm').read_text().strip()} (process {entry.name})"
        except OSError:
            continue  # it has ended, or is somebody else's
    return ""
