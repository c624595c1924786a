"""How soon to repair what somebody else changed: at once, but not over and over at the machine's expense."""

import asyncio
from collections.abc import Callable

_SHORTEST = 1.0
"""Seconds between two repairs, at least."""
_SHARE = 0.1
"""Of all time may be spent on repairs, by somebody who keeps changing things, such as a second proxy."""


class RepairPace:
    """Has a first change by somebody else repaired at once, and those that follow the later, the more repairs cost."""

    def __init__(self, repair: Callable[[], None]) -> None:
        """Expect nothing yet.

        Args:
            repair: begins a repair, on the event loop
        """
        self._repair = repair
        self._not_before = float("-inf")
        self._cost = 0.0
        self._waiting: asyncio.TimerHandle | None = None

    def tampered(self) -> None:
        """Somebody changed something; a repair that waits already is one for this as well."""
        if self._waiting is not None:
            return
        loop = asyncio.get_running_loop()
        if self._not_before <= loop.time():
            self._begin()
        else:
            self._waiting = loop.call_at(self._not_before, self._begin)

    def compared(self, seconds: float) -> None:
        """A comparison with the kernel took so long."""
        self._cost = seconds

    def close(self) -> None:
        """Begin nothing more."""
        if self._waiting is not None:
            self._waiting.cancel()

    def _begin(self) -> None:
        self._waiting = None
        self._not_before = asyncio.get_running_loop().time() + max(_SHORTEST, self._cost / _SHARE)
        self._repair()
