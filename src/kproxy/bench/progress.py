"""A progress bar with the time left, and lines above it; on what is no terminal, only the lines."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar


class Progress:
    """Of work that weighs so much in all; use it as a context manager."""

    def __init__(self, weight: float, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._bar = Bar(
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=weight)
        self._label = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def doing(self, what: str) -> None:
        """Tell what is being done, beside the bar; without a terminal, in a line if what is before the colon is new."""
        self._bar.update(self._task, description=what)
        label = what.partition(":")[0]
        if not self._console.is_terminal and label != self._label:
            self.note(label)
        self._label = label

    def note(self, words: str) -> None:
        """Print a line that stays."""
        self._console.print(words, markup=False)

    def advance(self, weight: float) -> None:
        """So much more is done."""
        self._bar.advance(self._task, weight)
