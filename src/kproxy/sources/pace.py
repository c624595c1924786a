"""Answers that come so slowly that they might never end."""

from kproxy.sources.clock import Clock
from kproxy.sources.errors import TransportError


class Pace:
    """Counts the bytes of an answer, in stretches of `window` seconds."""

    def __init__(self, clock: Clock, slowest: float, window: float) -> None:
        """Expect at least `slowest` bytes a second."""
        self._clock = clock
        self._slowest = slowest
        self._window = window
        self._began = clock.monotonic()
        self._bytes = 0

    def count(self, size: int) -> None:
        """Take note of what has arrived. Raises TransportError if it was too little since the stretch began."""
        self._bytes += size
        elapsed = self._clock.monotonic() - self._began
        if elapsed < self._window:
            return
        if self._bytes < self._slowest * elapsed:
            raise TransportError(f"only {self._bytes} bytes came in {elapsed:.0f} s")
        self._began += elapsed
        self._bytes = 0
