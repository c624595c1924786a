"""When to compare the kernel with what it should hold although nothing tells of a difference.

The legacy variant's kernel tells nobody that a rule was added or exchanged. To find out is to read all rules, which
takes seconds in a large cluster: so it is done the more rarely, the longer it takes.
"""

import time
from collections.abc import Callable

_SHARE = 0.01
"""Of all time may be spent on comparing without a cause."""
_LONGEST = 3600.0
"""Seconds; the interval of kube-proxy's full syncs."""


class Audit:
    """Remembers what comparing cost, and whether it was of use."""

    def __init__(self, period: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin.

        Args:
            period: in seconds, the shortest time between two comparisons
            clock: in seconds
        """
        self._period, self._clock = period, clock
        self._last = clock()
        self._cost = 0.0
        self._fruitless = False

    def compared(self, seconds: float, *, repaired: bool) -> None:
        """A comparison took so long, and found something to repair or did not."""
        self._last, self._cost, self._fruitless = self._clock(), seconds, not repaired

    def due(self) -> bool:
        """Whether it is time for one without a cause."""
        return self._clock() - self._last >= min(max(self._period, self._cost / _SHARE), _LONGEST)

    def worthwhile(self) -> bool:
        """Whether there may be one for a weak cause, one that the last comparison may have had in vain."""
        return not self._fruitless or self._clock() - self._last >= min(self._cost / _SHARE, _LONGEST)
