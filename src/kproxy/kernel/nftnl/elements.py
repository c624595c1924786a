"""Set elements, encoded and decoded column-wise.

All elements of a set have the same size, so a set's elements are an array of records: the key's bytes, then
the data's. Encoding copies two columns into a template of attributes; decoding is the same copy backwards.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from kproxy.kernel.netlink import nested
from kproxy.kernel.nftnl.expressions import value
from kproxy.kernel.nftnl.protocol import ELEMENT_DATA, ELEMENT_KEY, ELEMENT_KEY_END, LIST_ELEMENT

MAX_ATTRIBUTE = 0xFFFF
"""An attribute's length has 16 bits (linux/netlink.h)."""

_FEW = 24
"""Below this many elements, joining bytes is faster than setting up arrays."""


class Column(NamedTuple):
    """A field of the record, and the attribute that carries it."""

    attribute: int
    length: int


class ElementLayout:
    """How the elements of one set look on the wire."""

    def __init__(self, key: int, data: int = 0, *, ranges: bool = False) -> None:
        """Describe a set.

        Args:
            key: the key's length in bytes; a multiple of four, as registers are
            data: the data's length in bytes; 0 for a set
            ranges: whether each element is a range; then a record is the first key, the last key, the data
        """
        columns = [Column(ELEMENT_KEY, key)]
        if ranges:
            columns.append(Column(ELEMENT_KEY_END, key))
        if data:
            columns.append(Column(ELEMENT_DATA, data))
        self.record = sum(column.length for column in columns)
        """Bytes in a record."""
        self.key = sum(column.length for column in columns if column.attribute != ELEMENT_DATA)
        """Bytes of a record that identify the element."""
        self._full = _Template(columns)
        self._key_only = _Template([column for column in columns if column.attribute != ELEMENT_DATA])

    def encode(self, records: bytes) -> Iterator[memoryview]:
        """Encode whole elements, in lists that fit an attribute."""
        return self._full.encode(records)

    def encode_keys(self, keys: bytes) -> Iterator[memoryview]:
        """Encode elements to delete, from the records' key parts."""
        return self._key_only.encode(keys)

    def index_of(self, offset: int, *, keys: bool) -> int:
        """Which element of a list an offset into its encoding falls into."""
        return offset // (self._key_only if keys else self._full).stride

    def decode(self, encoded: memoryview) -> bytes | None:
        """Records of an element list that the kernel sent; None when its elements are not all of this shape."""
        return self._full.decode(encoded)


class _Template:
    def __init__(self, columns: Sequence[Column]) -> None:
        zeros = nested(LIST_ELEMENT, *(value(c.attribute, bytes(c.length)) for c in columns))
        self.stride = len(zeros)
        self._blank = np.frombuffer(zeros, np.uint8)
        self._spans: list[tuple[int, int, int]] = []
        """Of each column: its place in the record, its place in the encoding, its length."""
        self._pieces: list[bytes] = []
        record, wire, copied = 0, 4, 0
        for column in columns:
            wire += 8
            self._spans.append((record, wire, column.length))
            self._pieces.append(zeros[copied:wire])
            record += column.length
            wire += column.length
            copied = wire
        self.record = record
        self._fixed = np.ones(self.stride, bool)
        for _, wire, length in self._spans:
            self._fixed[wire : wire + length] = False
            # The kernel leaves the flag `nested` out of the types that it sends.
            self._fixed[[3, wire - 5, wire - 1]] = False
        self._per_list = (MAX_ATTRIBUTE - 4) // self.stride

    def encode(self, records: bytes) -> Iterator[memoryview]:
        count = len(records) // self.record
        if not count:
            return
        view = memoryview(self._join(records)) if count < _FEW else self._scatter(records, count)
        step = self._per_list * self.stride
        for start in range(0, len(view), step):
            yield view[start : start + step]

    def _join(self, records: bytes) -> bytes:
        parts = []
        for start in range(0, len(records), self.record):
            for piece, (column, _, length) in zip(self._pieces, self._spans, strict=True):
                parts.append(piece)
                parts.append(records[start + column : start + column + length])
        return b"".join(parts)

    def _scatter(self, records: bytes, count: int) -> memoryview:
        source = np.frombuffer(records, np.uint8).reshape(count, self.record)
        target = np.empty((count, self.stride), np.uint8)
        target[:] = self._blank
        for column, wire, length in self._spans:
            target[:, wire : wire + length] = source[:, column : column + length]
        return target.reshape(-1).data

    def decode(self, encoded: memoryview) -> bytes | None:
        count, rest = divmod(len(encoded), self.stride)
        if rest:
            return None
        source = np.frombuffer(encoded, np.uint8).reshape(count, self.stride)
        if not (source[:, self._fixed] == self._blank[self._fixed]).all():
            return None
        target = np.empty((count, self.record), np.uint8)
        for column, wire, length in self._spans:
            target[:, column : column + length] = source[:, wire : wire + length]
        return target.tobytes()
