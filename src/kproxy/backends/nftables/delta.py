"""The difference between what Services had in the kernel and what they need now, as records by set."""

from collections.abc import Iterator, Sequence

from kproxy.backends.nftables.compile import Compiled


class Delta:
    """Records to add and to delete, collected over any number of Services; one transaction's worth."""

    def __init__(self) -> None:
        self.added: dict[str, list[bytes]] = {}
        self.deleted: dict[str, list[bytes]] = {}

    def __bool__(self) -> bool:
        return bool(self.added or self.deleted)

    def __len__(self) -> int:
        return sum(map(len, self.added.values())) + sum(map(len, self.deleted.values()))

    def add(self, name: str, records: Sequence[bytes]) -> None:
        if records:
            self.added.setdefault(name, []).extend(records)

    def delete(self, name: str, records: Sequence[bytes]) -> None:
        if records:
            self.deleted.setdefault(name, []).extend(records)


def split(records: bytes, size: int) -> Iterator[bytes]:
    """Cut joined records of the given size apart."""
    return (records[start : start + size] for start in range(0, len(records), size))


def differences(old: Compiled, new: Compiled) -> Iterator[tuple[str, bytes, bytes]]:
    """The sets in which two versions of a Service differ, with the records of both."""
    before, after = dict(old), dict(new)
    for name in before | after:
        had, needs = before.get(name, b""), after.get(name, b"")
        if had != needs:
            yield name, had, needs
