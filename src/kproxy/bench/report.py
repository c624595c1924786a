"""What every benchmark prints: figures beside the bounds that they must keep."""

import os
import platform
import sys
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from rich.console import Console
from rich.table import Table

from kproxy.lab.namespaces import Namespace

T = TypeVar("T")


class Figure(NamedTuple):
    name: str
    measured: str
    bound: str = ""
    kept: bool = True
    floor: str = ""
    """What is measured with nothing of ours around it."""


class Report:
    """Runs measurements one after the other, telling which, and shows what came of them."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
        load = os.getloadavg()[0]
        self._console.print(
            f"Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f}"
        )

    def timed(self, what: str, measure: Callable[[], T]) -> T:
        """Make a measurement."""
        begin = time.monotonic()
        with self._console.status(f"measuring {what}"):
            result = measure()
        self._console.print(f"measured {what} ({time.monotonic() - begin:.0f} s)")
        return result

    def in_namespace(self, what: str, measure: Callable[[], T]) -> T:
        """Make a measurement in a network namespace of its own."""

        def inside() -> T:
            with Namespace("bench") as namespace:
                return namespace.run(measure)

        return self.timed(what, inside)

    def show(self, sections: Iterable[tuple[str, list[Figure]]], notes: str) -> int:
        """Print the figures by cluster; returns the exit status, 1 when one misses its bound."""
        table = Table("cluster", "figure", "measured", "floor", "bound", "")
        failed = False
        for cluster, figures in sections:
            for figure in figures:
                mark = "[green]✓[/green]" if figure.kept else "[red]✗[/red]"
                table.add_row(cluster, figure.name, figure.measured, figure.floor, figure.bound, mark)
                failed = failed or not figure.kept
            table.add_section()
        self._console.print(table)
        self._console.print(notes)
        return int(failed)


def seconds(name: str, value: float, bound: float) -> Figure:
    """A time that must not exceed the bound."""
    return Figure(name, f"{value:.2f} s", f"≤ {bound:.2f} s", value <= bound)


def milliseconds(name: str, value: float, bound: float) -> Figure:
    """A time in seconds, shown in milliseconds."""
    return Figure(name, in_ms(value), f"≤ {bound * 1000:g} ms", value <= bound)


def ratio(name: str, value: float, bound: float) -> Figure:
    return Figure(name, f"{value:.2f} ×", f"≤ {bound:g} ×", value <= bound)


def in_ms(value: float) -> str:
    return f"{value * 1000:.2f} ms"
