"""When the kernel committed a change of nftables, by its own account.

The kernel tells the netlink group of nftables about every committed transaction, last of all with a
NEWGEN message that names the process behind it (linux/netfilter/nf_tables.h, `nft monitor`).
"""

import asyncio
import ctypes
import socket
import struct
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from kproxy.lab.namespaces import Namespace
from kproxy.lab.probe import now

NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7
NFT_MSG_NEWGEN = 10 << 8 | 15
NFTA_GEN_ID = 1
NFTA_GEN_PROC_PID = 2
NFTA_GEN_PROC_NAME = 3
SO_ATTACH_FILTER = 26
NFGENMSG_END = 20
"""Where a message's attributes begin: nlmsghdr and nfgenmsg are 20 bytes."""

# A classic BPF program (linux/filter.h) that keeps NEWGEN and drops the far more numerous messages about
# elements, which would overflow the socket. BPF loads words in network order; a netlink type is in host order.
_KEEP_NEWGEN = (
    (0x28, 0, 0, 4),
    (0x15, 0, 1, int.from_bytes(struct.pack("=H", NFT_MSG_NEWGEN), "big")),
    (0x06, 0, 0, 0xFFFFFFFF),
    (0x06, 0, 0, 0),
)


@dataclass(frozen=True, slots=True)
class Commit:
    """One committed transaction: its time on the lab's clock, the rule-set's generation, and who made it."""

    at: float
    generation: int
    pid: int
    program: str


class CommitMonitor:
    """Collects the commits of one namespace, from `__enter__` on, on the running event loop."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self.commits: list[Commit] = []
        self._news = asyncio.Event()

    def __enter__(self) -> Self:
        self._socket = self._namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        _attach_filter(self._socket)
        self._socket.bind((0, 1 << (NFNLGRP_NFTABLES - 1)))
        asyncio.get_running_loop().add_reader(self._socket, self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _receive(self) -> None:
        at = now()
        while True:
            try:
                message = self._socket.recv(4096)
            except BlockingIOError:
                break
            self.commits.append(_parse(message, at))
        self._news.set()

    async def burst_since(self, moment: float, patience: float, quiet: float) -> list[Commit]:
        """The commits at or after a moment of the lab's clock, up to the first pause.

        Args:
            moment: from when on.
            patience: seconds to wait for the first of them.
            quiet: seconds without another that end the burst.

        Raises:
            TimeoutError: there is none in time.
        """
        async with asyncio.timeout(patience):
            while not (burst := self._since(moment)):
                await self._wait()
        while True:
            try:
                async with asyncio.timeout_at(burst[-1].at + quiet):
                    await self._wait()
            except TimeoutError:
                return burst
            burst = self._since(moment)

    def _since(self, moment: float) -> list[Commit]:
        self._receive()
        return [commit for commit in self.commits if commit.at >= moment]

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()


def _attach_filter(sock: socket.socket) -> None:
    program = b"".join(struct.pack("=HBBI", *instruction) for instruction in _KEEP_NEWGEN)
    memory = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(_KEEP_NEWGEN), ctypes.addressof(memory))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, header)


def _parse(message: bytes, at: float) -> Commit:
    (length,) = struct.unpack_from("=I", message)
    attributes: dict[int, bytes] = {}
    offset = NFGENMSG_END
    while offset + 4 <= min(length, len(message)):
        size, kind = struct.unpack_from("=HH", message, offset)
        if size < 4:
            break
        attributes[kind & 0x3FFF] = message[offset + 4 : offset + size]
        offset += (size + 3) & ~3
    return Commit(
        at=at,
        generation=int.from_bytes(attributes.get(NFTA_GEN_ID, b""), "big"),
        pid=int.from_bytes(attributes.get(NFTA_GEN_PROC_PID, b""), "big"),
        program=attributes.get(NFTA_GEN_PROC_NAME, b"").rstrip(b"\0").decode(errors="replace"),
    )
