"""What iptables-save prints, taken apart."""

from typing import NamedTuple, TypeAlias

SavedTable: TypeAlias = dict[bytes, list[bytes]]
"""Each chain's rule lines, without line ends; empty chains have an empty list."""


class Saved(NamedTuple):
    """All tables of one family that the kernel has."""

    tables: dict[str, SavedTable]

    def table(self, name: str) -> SavedTable:
        return self.tables.get(name, {})

    def rules(self, table: str) -> int:
        return sum(map(len, self.table(table).values()))


def parse(text: bytes) -> Saved:
    """Read the output of iptables-save, of one table or of all."""
    tables: dict[str, SavedTable] = {}
    current: SavedTable = {}
    for line in text.split(b"\n"):
        first = line[:1]
        if first == b"-":
            if line.startswith(b"-A "):
                current.setdefault(line[3 : line.find(b" ", 3)], []).append(line)
        elif first == b":":
            current.setdefault(line[1 : line.find(b" ")], [])
        elif first == b"*":
            current = tables.setdefault(line[1:].strip().decode(errors="replace"), {})
    return Saved(tables)


def jump_target(line: bytes) -> bytes:
    """The chain or target that a rule leads to; empty for a rule without one."""
    words = line.split(b" ")
    for i in range(len(words) - 2, 0, -1):
        if words[i] in (b"-j", b"-g"):
            return words[i + 1]
    return b""
