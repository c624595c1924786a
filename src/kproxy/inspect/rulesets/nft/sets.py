"""Sets and maps, named ones and those that stand in a rule."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

from kproxy.inspect.rulesets.nft.values import Pattern, Scalar, Value, fits, read_pattern
from kproxy.inspect.rulesets.understanding import NotUnderstoodError


class Element(NamedTuple):
    """An element that was found."""

    data: Any
    """As in the JSON; None in a set."""
    comment: str


class NftSet:
    """A set or map: what is looked up in it is read when it is first used."""

    def __init__(self, name: str, types: Sequence[str], elements: Sequence[Any], data_types: Sequence[str]) -> None:
        """Keep it.

        Args:
            name: `@NAME`, or empty for one that stands in a rule
            types: of the key's fields
            elements: as in the JSON; of a map, pairs of key and data
            data_types: of a map's data; empty: a set
        """
        self.name, self.types, self.data_types = name, tuple(types), tuple(data_types)
        self._elements = elements

    @cached_property
    def _read(self) -> tuple[dict[Value, Element], list[tuple[tuple[Pattern, ...], Element]]]:
        exact: dict[Value, Element] = {}
        patterns: list[tuple[tuple[Pattern, ...], Element]] = []
        for raw in self._elements:
            key, data = (raw[0], raw[1]) if self.data_types else (raw, None)
            comment = ""
            if isinstance(key, dict) and isinstance(inner := key.get("elem"), dict):
                key, comment = inner.get("val"), str(inner.get("comment", ""))
            fields = key["concat"] if isinstance(key, dict) and "concat" in key else [key]
            if len(fields) != len(self.types):
                raise NotUnderstoodError(f"an element of {self.name or 'a set'}: {key!r}")
            read = tuple(read_pattern(field, type_) for field, type_ in zip(fields, self.types, strict=True))
            element = Element(data, comment)
            if all(isinstance(field, (bytes, int, str)) for field in read):
                exact[read[0] if len(read) == 1 else read] = element  # type: ignore[index]
            else:
                patterns.append((read, element))
        return exact, patterns

    def find(self, key: Value) -> Element | None:
        """The element that a key meets.

        Raises:
            NotUnderstoodError: the set has elements or types that are not known
        """
        exact, patterns = self._read
        found = exact.get(key)
        if found is not None:
            return found
        fields: tuple[Scalar, ...] = key if isinstance(key, tuple) else (key,)
        for read, element in patterns:
            if len(read) == len(fields) and all(fits(field, p) for field, p in zip(fields, read, strict=True)):
                return element
        return None

    def __len__(self) -> int:
        return len(self._elements)
