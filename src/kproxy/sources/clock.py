"""Time and chance as the API sources see them, so that tests need not wait for either."""

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """What a retry, a rate limit or an expiry needs to know of time, and of chance."""

    def monotonic(self) -> float:
        """Seconds that only grow, for intervals."""

    def time(self) -> float:
        """Seconds since the Unix epoch, for expiry dates."""

    def random(self) -> float:
        """A number in [0, 1), for jitter."""

    async def sleep(self, seconds: float) -> None:
        """Let the time pass."""


class SystemClock:
    """The machine's own."""

    def monotonic(self) -> float:
        return time.monotonic()

    def time(self) -> float:
        return time.time()

    def random(self) -> float:
        return random.random()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
