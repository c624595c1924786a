"""What a proxy left in the kernel: memory, and objects counted by listing them back."""

import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from kproxy.bench.local.contenders import Mode
from kproxy.kernel.netlink import attributes, each_attribute, reread, text
from kproxy.kernel.nftnl import protocol
from kproxy.kernel.nftnl.protocol import SUBSYSTEM, generic
from kproxy.kernel.nftnl.transaction import NftSocket
from kproxy.kernel.processes import run_blocking

_KIB: Final = 1024
_QUIET: Final = 256 << 10
"""Bytes that kernel memory may move by and still count as settled."""
_LIST_SECONDS: Final = 300.0


class KernelMemory(NamedTuple):
    """Bytes, of the whole machine (/proc/meminfo)."""

    slab: int
    """What cannot be reclaimed of it."""
    vmalloc: int
    per_cpu: int

    @property
    def total(self) -> int:
        return sum(self)


def kernel_memory() -> KernelMemory:
    """As it is now."""
    told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return KernelMemory(*(int(told[key].split()[0]) * _KIB for key in ("SUnreclaim", "VmallocUsed", "Percpu")))


async def settled_memory(patience: float = 15.0) -> KernelMemory:
    """Once it has stopped moving: namespaces go, with all that was in them, some time after they were left."""
    deadline = asyncio.get_running_loop().time() + patience
    before = kernel_memory()
    while True:
        await asyncio.sleep(0.3)
        after = kernel_memory()
        if abs(after.total - before.total) < _QUIET or asyncio.get_running_loop().time() > deadline:
            return after
        before = after


def count_objects(mode: Mode) -> int:
    """How many objects this thread's network namespace holds of the kinds that a proxy in that mode makes.

    Chains, sets, rules and set elements of nf_tables; chains and rules of iptables; virtual and real servers of IPVS.
    In userspace mode, the elements and rules that redirect.

    Raises:
        OSError: not permitted, or the program that lists them is missing or fails
    """
    match mode:
        case Mode.NFTABLES | Mode.USERSPACE:
            return sum(nf_tables_objects().values())
        case Mode.IPTABLES | Mode.IPTABLES_NFT:
            return _lines([f"iptables-{mode.variant}-save"], rb"^(?:-A|:KUBE)")
        case Mode.IPVS:
            return _lines(["ipvsadm", "--save", "--numeric"], rb"^-[Aa]")


def _lines(argv: Sequence[str], wanted: bytes) -> int:
    return len(re.findall(wanted, run_blocking(argv, time_limit=_LIST_SECONDS), re.MULTILINE))


def nf_tables_objects() -> dict[str, int]:
    """How many objects of each kind nf_tables holds in this thread's network namespace.

    Raises:
        OSError: not permitted, or others keep changing them
    """
    socket = NftSocket()
    try:
        return reread(lambda: _dump_nf_tables(socket), 5)
    finally:
        socket.close()


def _dump_nf_tables(socket: NftSocket) -> dict[str, int]:
    def dump(type_: int) -> list[memoryview]:
        return [message.body for message in socket.netlink.dump(SUBSYSTEM << 8 | type_, generic(0))]

    sets = dump(protocol.GETSET)
    elements = 0
    for body in sets:
        told = attributes(body, 4)
        table, name = (bytes(told[key]).rstrip(b"\0").decode() for key in (protocol.SET_TABLE, protocol.SET_NAME))
        elements += _elements(socket, body[0], table, name)
    rules, chains = len(dump(protocol.GETRULE)), len(dump(protocol.GETCHAIN))
    return {"rules": rules, "chains": chains, "sets": len(sets), "elements": elements}


def _elements(socket: NftSocket, family: int, table: str, name: str) -> int:
    body = generic(family) + text(protocol.ELEMENTS_TABLE, table) + text(protocol.ELEMENTS_SET, name)
    return sum(
        1
        for message in socket.netlink.dump(SUBSYSTEM << 8 | protocol.GETSETELEM, body)
        for _ in each_attribute(attributes(message.body, 4).get(protocol.ELEMENTS_LIST, b""))
    )
