"""When a count is told, with a clock that the test sets; and quantities."""

import logging
from collections.abc import Callable

import pytest

from kproxy.daemon.logs.repetition import Repetitions
from kproxy.daemon.logs.streams import quantity
from tests.node.clocks import Clock


class Log:
    """Repetitions, and what came out of them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.lines: list[str] = []
        self.repetitions = Repetitions(
            lambda record: self.lines.append(record.getMessage()), interval=60, monotonic=self.clock
        )

    def record(self, message: str, level: int = logging.ERROR, line: int = 1, error: Exception | None = None) -> None:
        raised = (type(error), error, None) if error else None
        self.repetitions.handle(logging.LogRecord("x", level, "x.py", line, message, (), raised))


@pytest.fixture
def log() -> Log:
    return Log()


def test_the_count_comes_with_whatever_is_logged_after_the_interval(log: Log) -> None:
    for _ in range(18):
        log.record("broken")
    log.clock.advance(59)
    log.record("fine", logging.INFO)
    assert log.lines == ["broken", "fine"]
    log.clock.advance(1)
    log.record("fine", logging.INFO)
    assert log.lines[2:] == ["broken (repeated 17 times)", "fine"]


def test_an_error_that_goes_on_is_counted_once_an_interval(log: Log) -> None:
    for _ in range(200):
        log.record("broken")
        log.clock.advance(1)
    assert log.lines == ["broken", "broken (repeated 59 times)"] + ["broken (repeated 60 times)"] * 2


def test_an_error_that_comes_back_after_a_long_time_is_new(log: Log) -> None:
    log.record("broken")
    log.clock.advance(61)
    log.record("broken")
    assert log.lines == ["broken", "broken"]


@pytest.mark.parametrize(
    "other",
    [
        lambda log: log.record("other"),
        lambda log: log.record("broken", level=logging.WARNING),
        lambda log: log.record("broken", line=2),
        lambda log: log.record("broken", error=ValueError("x")),
    ],
)
def test_only_the_same_is_the_same(log: Log, other: Callable[[Log], None]) -> None:
    log.record("broken")
    other(log)
    other(log)
    assert len(log.lines) == 2


def test_what_is_remembered_is_bounded(log: Log) -> None:
    log.record("first")
    log.record("first")
    for number in range(1000):
        log.record(f"{number}")
    assert log.lines.count("first (repeated 1 times)") == 1
    assert len(log.lines) == 1002
    assert len(log.repetitions._seen) <= 256


def test_flush_tells_every_count_once(log: Log) -> None:
    for message in ("a", "b", "a", "a"):
        log.record(message)
    log.repetitions.flush()
    log.repetitions.flush()
    assert log.lines == ["a", "b", "a (repeated 2 times)"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("512", 512),
        ("64Ki", 65536),
        ("1k", 1000),
        ("1.5M", 1_500_000),
        ("1e3", 1000),
        ("0.5", 1),
        ("2Gi", 2**31),
    ],
)
def test_quantities(text: str, value: int) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "many", "Ki", "1 k"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity(text)
