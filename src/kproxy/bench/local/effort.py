"""How much is measured of each run."""

from typing import Final, NamedTuple


class Effort(NamedTuple):
    """Counts, and seconds that a part of a run may take: where syncs take seconds, there are fewer samples."""

    rounds: int
    changes: int
    change_seconds: float
    connections: int
    """To each of four targets."""
    connection_seconds: float
    load_seconds: int
    """Of wrk and iperf3, with and without a Service."""
    idle_seconds: float
    churn_rate: float
    """Changes per second."""
    churn_changes: int
    """Measured ones, of a Service of their own."""
    patience: float = 180.0
    """Seconds that a proxy has to sync."""

    def settings(self) -> dict[str, float]:
        """For a result."""
        return {name: float(value) for name, value in self._asdict().items()}


ROUNDS: Final = 5
"""Fewer leave a ratio an interval too wide to tell a fifth from nothing: Student's t knows how little is known."""
QUICK: Final = Effort(1, 10, 4.0, 200, 4.0, 1, 1.0, 100.0, 5)
FULL: Final = Effort(ROUNDS, 40, 6.0, 500, 6.0, 1, 2.0, 500.0, 20)
