"""How long to wait before the next attempt."""

from kproxy.sources.clock import Clock


class Backoff:
    """Doubles from `initial` to half of `ceiling`, and adds up to as much again.

    The spread stays at the top too, so that thousands of nodes do not return in step. A failure later than
    `reset_after` seconds after the one before starts anew.
    """

    def __init__(
        self, clock: Clock, *, initial: float = 0.8, ceiling: float = 30.0, reset_after: float = 120.0
    ) -> None:
        self._clock = clock
        self._initial = initial
        self._ceiling = ceiling
        self._reset_after = reset_after
        self._next = initial
        self._retry_at = float("-inf")

    def next(self) -> float:
        """Seconds to wait after a failure that happened now."""
        now = self._clock.monotonic()
        if now - self._retry_at > self._reset_after:
            self._next = self._initial
        delay = self._next * (1 + self._clock.random())
        self._next = min(self._next * 2, self._ceiling / 2)
        self._retry_at = now + delay
        return delay
