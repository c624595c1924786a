"""The client's own limit on requests, `clientConnection.qps` and `burst`."""

from kproxy.sources.clock import Clock


class TokenBucket:
    """Lets `burst` requests pass at once and `qps` a second in the long run; waiters are served in order.

    A `qps` of zero or less sets no limit, as a negative one does in Kubernetes' client.
    """

    def __init__(self, clock: Clock, qps: float, burst: int) -> None:
        self._clock = clock
        self._qps = qps
        self._burst = max(burst, 1)
        self._tokens = float(self._burst)
        self._updated = clock.monotonic()

    def set_rate(self, qps: float, burst: int) -> None:
        """Go on at another rate; those who wait already keep their place."""
        self._refill()
        self._qps = qps
        self._burst = max(burst, 1)

    async def acquire(self) -> None:
        """Wait until one more request may go out."""
        if self._qps <= 0:
            return
        self._refill()
        # Going below zero reserves the place in the queue.
        self._tokens -= 1
        if self._tokens < 0:
            await self._clock.sleep(-self._tokens / self._qps)

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * max(self._qps, 0.0))
        self._updated = now
