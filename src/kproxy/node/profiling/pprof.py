"""Profiles in the format of pprof: gzipped protobuf (github.com/google/pprof, proto/profile.proto)."""

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Frame(NamedTuple):
    function: str
    file: str
    line: int


Stack = tuple[Frame, ...]
"""Innermost frame first."""


class ValueType(NamedTuple):
    name: str
    unit: str


# Field numbers of message Profile and of the messages inside it.
_SAMPLE_TYPE, _SAMPLE, _LOCATION, _FUNCTION, _STRING_TABLE = 1, 2, 4, 5, 6
_TIME_NANOS, _DURATION_NANOS, _PERIOD_TYPE, _PERIOD = 9, 10, 11, 12


def encode(
    types: Sequence[ValueType],
    samples: Mapping[Stack, Sequence[int]],
    *,
    period_type: ValueType,
    period: int,
    time_ns: int,
    duration_ns: int,
) -> bytes:
    """Encode a profile.

    Args:
        types: what each value of a sample is
        samples: values by stack
        period_type: what one sample was taken for each `period` of
        period: in the unit of `period_type`
        time_ns: when the profile began, since the epoch
        duration_ns: how long it took
    """
    strings = _Table[str]()
    strings.number("")
    functions, locations = _Table[tuple[str, str]](), _Table[Frame]()
    parts = [_message(_SAMPLE_TYPE, _value_type(type_, strings)) for type_ in types]
    for stack, values in samples.items():
        ids = [locations.number(frame) + 1 for frame in stack]
        parts.append(_message(_SAMPLE, _packed(1, ids) + _packed(2, values)))
    for number, frame in enumerate(locations, 1):
        function = functions.number((frame.function, frame.file)) + 1
        line = _integer(1, function) + _integer(2, frame.line)
        parts.append(_message(_LOCATION, _integer(1, number) + _message(4, line)))
    for number, (name, file) in enumerate(functions, 1):
        named = strings.number(name)
        body = _integer(1, number) + _integer(2, named) + _integer(3, named) + _integer(4, strings.number(file))
        parts.append(_message(_FUNCTION, body))
    parts.append(_message(_PERIOD_TYPE, _value_type(period_type, strings)))
    parts += (_integer(_TIME_NANOS, time_ns), _integer(_DURATION_NANOS, duration_ns), _integer(_PERIOD, period))
    parts += (_message(_STRING_TABLE, text.encode(errors="replace")) for text in strings)
    return gzip.compress(b"".join(parts), mtime=0)


def collapsed(samples: Mapping[Stack, Sequence[int]]) -> str:
    """The first values as text that flame graph tools read: `outer;inner 17`, a stack a line."""
    lines = [
        f"{';'.join(f'{frame.function} ({frame.file}:{frame.line})' for frame in reversed(stack))} {values[0]}\n"
        for stack, values in samples.items()
    ]
    return "".join(sorted(lines))


class _Table(Generic[T]):
    """Numbers things from 0 in the order of their coming."""

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}

    def number(self, thing: T) -> int:
        return self._numbers.setdefault(thing, len(self._numbers))

    def __iter__(self) -> Iterator[T]:
        return iter(self._numbers)


def _value_type(type_: ValueType, strings: _Table[str]) -> bytes:
    return _integer(1, strings.number(type_.name)) + _integer(2, strings.number(type_.unit))


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _integer(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _packed(field: int, values: Iterable[int]) -> bytes:
    return _message(field, b"".join(map(_varint, values)))
