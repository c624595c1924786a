"""Durations as Kubernetes writes them: Go's notation, whole nanoseconds inside.

The grammar is that of Go's `time.ParseDuration` (`1h2m3.5s`, `15m0s`, `0`, `-300ms`); the printed form is that
of `time.Duration.String`, which every Kubernetes file and API uses.
"""

import functools
import re
from typing import Self

_MICROSECOND = 1_000
_MILLISECOND = 1_000_000
_SECOND = 1_000_000_000
_UNITS = {
    "ns": 1,
    "us": _MICROSECOND,
    "\u00b5s": _MICROSECOND,  # micro sign
    "\u03bcs": _MICROSECOND,  # Greek letter mu
    "ms": _MILLISECOND,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_INT64_MAX = 2**63 - 1
_MAX_TEXT = 128


@functools.total_ordering
class Duration:
    """A span of time: immutable, hashable, ordered; `str()` gives Go's notation."""

    __slots__ = ("nanoseconds",)

    nanoseconds: int

    def __init__(self, nanoseconds: int = 0) -> None:
        """Make a duration of whole nanoseconds.

        Raises:
            ValueError: it does not fit in 64 bits, which is what Kubernetes stores.
        """
        if not -_INT64_MAX - 1 <= nanoseconds <= _INT64_MAX:
            raise ValueError("does not fit in 64 bits of nanoseconds (about 292 years)")
        object.__setattr__(self, "nanoseconds", nanoseconds)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Duration is immutable, cannot set {name}")

    @classmethod
    def of(cls, *, hours: int = 0, minutes: int = 0, seconds: int = 0, milliseconds: int = 0) -> Self:
        """Add up the parts."""
        return cls(((hours * 60 + minutes) * 60 + seconds) * _SECOND + milliseconds * _MILLISECOND)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read Go's notation.

        Raises:
            ValueError: with a message fit for a user, without the text itself.
        """
        if len(text) > _MAX_TEXT:
            raise ValueError("is too long for a duration")
        sign = -1 if text.startswith("-") else 1
        body = text[1:] if text[:1] in {"-", "+"} else text
        if body == "0":
            return cls(0)
        total = position = 0
        while position < len(body):
            term = _TERM.match(body, position)
            whole, fraction = (term.group(1), term.group(2) or "") if term else ("", "")
            if term is None or not (whole or fraction):
                if body.isdecimal():
                    raise ValueError(f'has no unit; for seconds write "{text}s"')
                raise ValueError('is not a duration such as "30s", "1m30s" or "500ms"')
            unit = _UNITS[term.group(3)]
            total += int(whole or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)
            position = term.end()
        if not body:
            raise ValueError('is empty; a duration looks like "30s"')
        return cls(sign * total)

    @property
    def seconds(self) -> float:
        """The length in seconds, for clocks and timers."""
        return self.nanoseconds / _SECOND

    def __str__(self) -> str:
        """Go's notation: `1h0m0s`, `1.5s`, `250ms`, `0s`."""
        rest = abs(self.nanoseconds)
        sign = "-" if self.nanoseconds < 0 else ""
        if rest == 0:
            return "0s"
        for unit, name in ((_MICROSECOND, "ns"), (_MILLISECOND, "\u00b5s"), (_SECOND, "ms")):
            if rest < unit:
                return f"{sign}{_decimal(rest, max(1, unit // 1000))}{name}"
        minutes, rest = divmod(rest, 60 * _SECOND)
        hours, minutes = divmod(minutes, 60)
        text = f"{_decimal(rest, _SECOND)}s"
        if hours or minutes:
            text = f"{minutes}m{text}"
        if hours:
            text = f"{hours}h{text}"
        return sign + text

    def __repr__(self) -> str:
        return f"{type(self).__name__}.parse({str(self)!r})"

    def __bool__(self) -> bool:
        return self.nanoseconds != 0

    def __eq__(self, other: object) -> bool:
        return self.nanoseconds == other.nanoseconds if isinstance(other, Duration) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self.nanoseconds < other.nanoseconds if isinstance(other, Duration) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.nanoseconds)


class FlushInterval(Duration):
    """A duration that a file may also give as a whole number of nanoseconds.

    Only `logging.flushFrequency` is: component-base keeps that spelling for older files (`TimeOrMetaDuration`).
    """

    __slots__ = ()


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")
