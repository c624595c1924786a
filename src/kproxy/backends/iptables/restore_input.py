"""What iptables-restore reads: commands by table, put together from bytes that are written once."""

from collections.abc import Collection, Iterable, Sequence

from kproxy.backends.iptables.skeleton import TABLES


class TableInput:
    """The commands for one table, in the order in which iptables-restore must see them."""

    def __init__(self) -> None:
        self.declarations: list[bytes] = []
        """Chains to create, or to empty if they exist."""
        self.rules: list[bytes] = []
        self.edits: list[bytes] = []
        """Deletions and insertions of single rules."""
        self.deleted_chains: list[bytes] = []

    def __bool__(self) -> bool:
        return bool(self.declarations or self.rules or self.edits or self.deleted_chains)

    def declare(self, *chains: bytes) -> None:
        self.declarations += [b":%b - [0:0]\n" % chain for chain in chains]

    def delete_chain(self, chain: bytes) -> None:
        """Empty a chain and remove it, after all else that this input does."""
        self.declare(chain)
        self.deleted_chains.append(b"-X %b\n" % chain)


class RestoreInput:
    """One run of iptables-restore."""

    def __init__(self) -> None:
        self.tables = {name: TableInput() for name in TABLES}

    def only(self, tables: Collection[str]) -> "RestoreInput":
        """What it does in these tables."""
        part = RestoreInput()
        part.tables.update((name, table) for name, table in self.tables.items() if name in tables)
        return part

    def __bool__(self) -> bool:
        return any(self.tables.values())

    def __len__(self) -> int:
        """Rules and chains that it writes or deletes."""
        return sum(
            sum(part.count(b"\n") for parts in (t.declarations, t.rules, t.edits) for part in parts)
            for t in self.tables.values()
        )

    @property
    def transactions(self) -> int:
        """How many tables it changes, each in a transaction of its own."""
        return sum(map(bool, self.tables.values()))

    def rules_by_table(self) -> dict[str, int]:
        """How many rules it appends, inserts or deletes."""
        return {
            name: sum(part.count(b"\n") for parts in (table.rules, table.edits) for part in parts)
            for name, table in self.tables.items()
        }

    def to_bytes(self, *, descending: bool = False) -> bytes:
        """The whole input.

        Args:
            descending: declare chains from the last name to the first. iptables keeps them in a sorted list, which
                the legacy variant searches from its beginning for the place of a new one, and the other from its
                end: in the right order, tens of thousands of chains take seconds instead of minutes.
        """
        parts: list[bytes] = []
        for name, table in self.tables.items():
            if table:
                chains = b"".join(table.declarations).splitlines(keepends=True)
                chains.sort(reverse=descending)
                parts += (b"*%b\n" % name.encode(), *chains, *table.rules, *table.edits)
                parts += (*table.deleted_chains, b"COMMIT\n")
        return b"".join(parts)


def deletions(rules: Iterable[bytes]) -> list[bytes]:
    """Lines that delete rules, from the lines that append them."""
    return [b"-D" + rule[2:] + b"\n" for rule in rules]


def insertions(rules: Sequence[bytes]) -> list[bytes]:
    """Lines that put rules at the beginning of their chain, in this order, from the lines that append them."""
    return [b"-I" + rule[2:] + b"\n" for rule in reversed(rules)]


def with_line_ends(rules: Iterable[bytes]) -> list[bytes]:
    return [rule + b"\n" for rule in rules]
