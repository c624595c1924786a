"""A clock whose sleeps take no time."""

import asyncio
import time


class SkippingClock:
    """Time passes as it really does, and jumps over each sleep; `sleeps` holds them."""

    def __init__(self, chance: float = 0.5) -> None:
        self.sleeps: list[float] = []
        self._skipped = 0.0
        self._chance = chance

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    def time(self) -> float:
        return time.time() + self._skipped

    def random(self) -> float:
        return self._chance

    def skip(self, seconds: float) -> None:
        self._skipped += seconds

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self._skipped += seconds
        await asyncio.sleep(0)
