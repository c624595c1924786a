"""An error that comes again and again is logged once, and then now and then with a count."""

import copy
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

_INTERVAL = 60.0
_REMEMBERED = 256


class _Key(NamedTuple):
    path: str
    line: int
    level: int
    message: str
    error: str


class _Seen:
    __slots__ = ("record", "repeated", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.repeated = 0
        self.record: logging.LogRecord | None = None
        """The latest that was held back."""


class Repetitions:
    """Passes warnings and errors on unless the same one was within the last minute.

    How often it was is told with the next one after that minute; or, when none comes, with whatever is logged then.
    """

    def __init__(
        self,
        emit: Callable[[logging.LogRecord], None],
        *,
        interval: float = _INTERVAL,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember nothing yet.

        Args:
            emit: takes the records that are to be logged
            interval: in seconds, how long the same one is held back
            monotonic: seconds that only grow
        """
        self._emit = emit
        self._interval = interval
        self._monotonic = monotonic
        self._seen: OrderedDict[_Key, _Seen] = OrderedDict()
        """By the time of the first, or of the latest count."""

    def handle(self, record: logging.LogRecord) -> None:
        """Log a record now, later or as a part of a count."""
        now = self._monotonic()
        self._tell(now - self._interval)
        if record.levelno < logging.WARNING:
            self._emit(record)
            return
        error = repr(record.exc_info[1]) if record.exc_info else ""
        key = _Key(record.pathname, record.lineno, record.levelno, record.getMessage(), error)
        seen = self._seen.get(key)
        if seen is not None:
            seen.repeated += 1
            seen.record = record
            return
        self._seen[key] = _Seen(now)
        if len(self._seen) > _REMEMBERED:
            self._count(self._seen.popitem(last=False)[1])
        self._emit(record)

    def flush(self) -> None:
        """Tell every count that is outstanding."""
        self._tell(float("inf"))

    def _tell(self, before: float) -> None:
        while self._seen:
            key, seen = next(iter(self._seen.items()))
            if seen.since > before:
                return
            del self._seen[key]
            if seen.record is not None:
                if before < float("inf"):
                    self._seen[key] = _Seen(self._monotonic())
                self._count(seen)

    def _count(self, seen: _Seen) -> None:
        if seen.record is None:
            return
        counted = copy.copy(seen.record)
        counted.msg = f"{seen.record.getMessage()} (repeated {seen.repeated} times)"
        counted.args, counted.exc_info = (), None
        self._emit(counted)
