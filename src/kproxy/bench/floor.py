"""The floor: what the kernel takes for the same number of elements, with nothing else around them."""

import time
from collections.abc import Iterable
from typing import NamedTuple

from kproxy.backends.nftables.sets import SetName, declaration
from kproxy.kernel.nftnl import protocol
from kproxy.kernel.nftnl.protocol import NFPROTO_IPV4
from kproxy.kernel.nftnl.transaction import Committed, NftSocket
from kproxy.services.addresses import Family

_TABLE = "floor"
_PORT = b"\x06\0\0\0\0\x50\0\0"
"""TCP port 80, as in a key."""


class Floor(NamedTuple):
    """Seconds for all elements, and for the exchange of one."""

    encode: float
    commit: float
    change: float

    @property
    def full(self) -> float:
        return self.encode + self.commit


def measure(elements: int) -> Floor:
    """Fill one map with so many elements, in this thread's network namespace.

    Raises:
        OSError: the kernel refuses
    """
    set_ = declaration(Family.IPV4, SetName.SERVICE_ENDPOINTS)
    layout = set_.layout
    records = b"".join(
        (0x0A000000 + number // 10).to_bytes(4, "big") + _PORT + (number % 10).to_bytes(4, "little") + bytes(8)
        for number in range(elements)
    )
    socket = NftSocket()
    try:
        create = [
            protocol.new_table(NFPROTO_IPV4, _TABLE),
            protocol.new_set(NFPROTO_IPV4, _TABLE, set_.name, set_.attributes, identifier=1, fields=set_.fields),
        ]
        _commit(socket, create)
        begin = time.perf_counter()
        batch = _elements(layout.encode(records), set_.name, delete=False)
        encoded = time.perf_counter()
        _commit(socket, batch)
        committed = time.perf_counter()
        changes = [_exchange(socket, records, number) for number in range(50)]
        _commit(socket, [protocol.delete_table(NFPROTO_IPV4, _TABLE)])
    finally:
        socket.close()
    return Floor(encoded - begin, committed - encoded, sorted(changes)[len(changes) // 2])


def _exchange(socket: NftSocket, records: bytes, number: int) -> float:
    set_ = declaration(Family.IPV4, SetName.SERVICE_ENDPOINTS)
    record = records[: set_.layout.record]
    old, new = record[:16], record[:16] + number.to_bytes(8, "big")
    begin = time.perf_counter()
    batch = _elements(set_.layout.encode_keys(old), set_.name, delete=True)
    batch += _elements(set_.layout.encode(new), set_.name, delete=False)
    _commit(socket, batch)
    return time.perf_counter() - begin


def _elements(lists: Iterable[memoryview], name: str, *, delete: bool) -> list[protocol.Message]:
    return [
        protocol.elements_message(NFPROTO_IPV4, _TABLE, name, encoded, delete=delete, about=name) for encoded in lists
    ]


def _commit(socket: NftSocket, batch: list[protocol.Message]) -> None:
    result = socket.commit(batch)
    if not isinstance(result, Committed):
        raise OSError("; ".join(map(str, result)))
