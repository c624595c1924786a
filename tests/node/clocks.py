"""Clocks that tests set."""


class Clock:
    """A time in seconds, to be called as `time.time` is."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
