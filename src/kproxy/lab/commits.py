"""When the kernel committed a change of nftables, by its own account.

The kernel tells the netlink group of nftables about every committed transaction, last of all with a
NEWGEN message that names the process behind it (linux/netfilter/nf_tables.h, `nft monitor`).
"""

import asyncio
import struct
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from kproxy.kernel.netlink import NETLINK_NETFILTER, Message, NetlinkSocket, attributes, messages
from kproxy.kernel.nftnl.protocol import GENERATION_ID, MULTICAST_GROUP, NEWGEN, SUBSYSTEM
from kproxy.lab.namespaces import Namespace
from kproxy.lab.probe import now

_NEWGEN = SUBSYSTEM << 8 | NEWGEN
_GENERATION_PID, _GENERATION_PROGRAM = 2, 3

# A classic BPF program (linux/filter.h) that keeps NEWGEN and drops the far more numerous messages about
# elements, which would overflow the socket. BPF loads words in network order; a netlink type is in host order.
_KEEP_NEWGEN = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x28, 0, 0, 4),
        (0x15, 0, 1, int.from_bytes(_NEWGEN.to_bytes(2, sys.byteorder), "big")),
        (0x06, 0, 0, 0xFFFFFFFF),
        (0x06, 0, 0, 0),
    )
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
        self._netlink = self._namespace.run(lambda: NetlinkSocket(NETLINK_NETFILTER))
        self._netlink.attach_filter(_KEEP_NEWGEN)
        self._netlink.join(MULTICAST_GROUP)
        asyncio.get_running_loop().add_reader(self._netlink.fileno(), self._receive)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.get_running_loop().remove_reader(self._netlink.fileno())
        self._netlink.close()

    def _receive(self) -> None:
        at = now()
        while (datagram := self._netlink.receive(wait=False)) is not None:
            self.commits += [_parse(message, at) for message in messages(datagram)]
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


def _parse(message: Message, at: float) -> Commit:
    told = attributes(message.body, 4)
    return Commit(
        at=at,
        generation=int.from_bytes(told.get(GENERATION_ID, b""), "big"),
        pid=int.from_bytes(told.get(_GENERATION_PID, b""), "big"),
        program=bytes(told.get(_GENERATION_PROGRAM, b"")).rstrip(b"\0").decode(errors="replace"),
    )
