"""Where log lines go: standard error; or, split, errors there and all else to standard output, perhaps in batches."""

import contextlib
import logging
import re
import sys
import threading
from decimal import ROUND_CEILING, Decimal
from typing import Protocol

_MOST_BUFFERED = 2 << 30
"""component-base's limit."""
_QUANTITY = re.compile(r"\+?([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?)([kMGTPE]|[KMGTPE]i)?")
_DECIMAL, _BINARY = " kMGTPE", " KMGTPE"


class Stream(Protocol):
    """Takes whole lines."""

    def write(self, text: str, /) -> object:
        """Write a text."""

    def flush(self) -> object:
        """Write what was held back."""


class BatchingStream:
    """Holds lines back until they are as many bytes as a batch may have, or until the oldest has waited enough."""

    def __init__(self, stream: Stream, size: int, longest_wait: float) -> None:
        """Hold nothing back yet.

        Args:
            stream: where batches go
            size: of a batch, in bytes
            longest_wait: of a line, in seconds
        """
        self._stream, self._size, self._longest_wait = stream, size, longest_wait
        self._lines: list[str] = []
        self._bytes = 0
        self._timer: threading.Timer | None = None
        self._lock = threading.RLock()

    def write(self, text: str) -> None:
        with self._lock:
            self._lines.append(text)
            self._bytes += len(text.encode(errors="replace"))
            if self._bytes >= self._size:
                self.flush()
            elif self._timer is None:
                self._timer = threading.Timer(self._longest_wait, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            text = "".join(self._lines)
            self._lines.clear()  # even if writing fails, they are not kept for ever
            self._bytes = 0
            self._stream.write(text)
            self._stream.flush()


class SplitHandler(logging.Handler):
    """Formats records, and writes each to the stream for it."""

    def __init__(self, infos: Stream, errors: Stream) -> None:
        """Write nothing yet.

        Args:
            infos: for what is less than an error
            errors: for errors; written at once, after what was held back
        """
        super().__init__()
        self._infos, self._errors = infos, errors

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            if record.levelno < logging.ERROR:
                self._infos.write(line)
                if not isinstance(self._infos, BatchingStream):
                    self._infos.flush()
            else:
                self._errors.write(line)
                self._errors.flush()
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        self._infos.flush()
        self._errors.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # whoever reads the log, or the stream itself, has gone
            self.flush()
        super().close()


def split_handler(buffer_size: str, longest_wait: float) -> SplitHandler:
    """Errors to standard error, all else to standard output.

    Args:
        buffer_size: how much of standard output is held back, as Kubernetes writes quantities (`0`, `512`, `64Ki`)
        longest_wait: in seconds, for lines that are held back
    """
    size = min(quantity(buffer_size), _MOST_BUFFERED)
    return SplitHandler(BatchingStream(sys.stdout, size, longest_wait) if size else sys.stdout, sys.stderr)


def quantity(text: str) -> int:
    """Read a Kubernetes quantity, rounded up to a whole number.

    Raises:
        ValueError: it is none
    """
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a quantity")
    number, suffix = Decimal(found[1]), found[2] or ""
    if suffix.endswith("i"):
        number *= 1024 ** _BINARY.index(suffix[0])
    elif suffix:
        number *= 1000 ** _DECIMAL.index(suffix)
    return int(number.to_integral_value(ROUND_CEILING))
