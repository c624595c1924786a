"""The live view: health on top, below it every Service port that takes connections, with its rate."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import DataTable, Footer, Header, Static

from kproxy.inspect.output import InspectionError
from kproxy.inspect.status.rates import REMEMBERED, FlowListener, Names, Rates
from kproxy.inspect.status.report import Status
from kproxy.inspect.status.show import panel

_TICK = 1.0
_BARS = " ▁▂▃▄▅▆▇█"
Refresh = Callable[[], Awaitable[tuple[Status, Names]]]


def sparkline(values: list[float], width: int = REMEMBERED) -> str:
    """A line of bars, the highest value the tallest, right-aligned."""
    shown = values[-width:]
    top = max(shown, default=0.0)
    if not top:
        return ""
    bars = "".join(_BARS[0 if not value else max(1, round(value / top * (len(_BARS) - 1)))] for value in shown)
    return bars.rjust(width)


class LiveStatus(App[None]):
    """`kproxy status --watch`."""

    CSS = """
    Screen { layout: vertical; }
    #summary { height: auto; padding: 1 2; border: round $primary; }
    #note { height: auto; padding: 0 2; color: $text-muted; }
    DataTable { height: 1fr; border: round $primary; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("q", "quit", "Quit"),
        ("p", "pause", "Pause"),
        ("n", "sort('name')", "Sort by name"),
        ("r", "sort('rate')", "Sort by rate"),
    ]

    def __init__(self, refresh: Refresh, *, interval: float = 2.0, tick: float = _TICK) -> None:
        """Prepare the view.

        Args:
            refresh: looks at everything again, for the upper part
            interval: seconds between two such looks
            tick: seconds over which connections are counted
        """
        super().__init__()
        self._look, self._interval, self._tick = refresh, interval, tick
        self._rates = Rates()
        self._listener: FlowListener | None = None
        self._order = "rate"
        self._paused = self._named = False
        self._pending: Counter[str] = Counter()
        self._counted_at = time.monotonic()

    def compose(self) -> ComposeResult:
        """Lay out the widgets."""
        yield Header(show_clock=True)
        yield Static("looking …", id="summary")
        yield Static("", id="note")
        table: DataTable[Text] = DataTable(cursor_type="row", zebra_stripes=True)
        yield table
        yield Footer()

    async def on_mount(self) -> None:
        """Begin."""
        self.title = "kproxy status"
        table = self.query_one(DataTable)
        table.border_title = "connections per second, by Service"
        for label, key, width in (("Service", "name", 44), ("now", "now", 9), ("60 s mean", "mean", 10)):
            table.add_column(label, key=key, width=width)
        table.add_column("last minute", key="history")
        try:
            self._listener = FlowListener(Names.of(None))
        except OSError as error:
            self._say(f"no connection rates: the kernel does not tell of new flows ({error.strerror})")
        else:
            asyncio.get_running_loop().add_reader(self._listener.fileno(), self._collect)
        self.run_worker(self._follow(), name="status", exclusive=True)
        self.set_interval(self._tick, self._count)

    def on_unmount(self) -> None:
        """Let go of the socket."""
        if self._listener:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None

    async def _follow(self) -> None:
        while True:
            try:
                status, names = await self._look()
            except InspectionError as error:
                self._say(str(error))
                await asyncio.sleep(self._interval)
                continue
            if self._listener:
                self._collect()
                self._listener.names = names
                self._named = True
            self.sub_title = f"{status.node} — {status.mode or 'no mode'}"
            if not self._paused:
                self.query_one("#summary", Static).update(panel(status))
            await asyncio.sleep(self._interval)

    def _collect(self) -> None:
        """Take announcements as they come, lest the kernel's buffer overflow between two ticks."""
        if self._listener:
            counted = self._listener.take()
            if self._named:
                self._pending += counted

    def _count(self) -> None:
        if self._listener is None:
            return
        self._collect()
        now = time.monotonic()
        counted, self._pending = self._pending, Counter()
        self._rates.tick(counted, now - self._counted_at)
        self._counted_at = now
        if self._listener.missed:
            self._say(f"rates are too low: the kernel had more to tell than was read, {self._listener.missed} times")
        if not self._paused:
            self._fill()

    def _fill(self) -> None:
        table = self.query_one(DataTable)
        names = self._rates.names()
        if self._order == "name":
            names.sort()
        table.clear()
        for name in names:
            history = self._rates.history(name)
            mean = sum(history) / len(history)
            table.add_row(
                Text(name),
                Text(f"{self._rates.now(name):.1f}", justify="right"),
                Text(f"{mean:.1f}", justify="right"),
                Text(sparkline(history), style="cyan"),
                key=name,
            )

    def _say(self, words: str) -> None:
        self.query_one("#note", Static).update(words)

    def action_pause(self) -> None:
        """Hold the picture; counting goes on."""
        self._paused = not self._paused
        self._say("paused" if self._paused else "")

    def action_sort(self, order: str) -> None:
        """Order the table by `name` or `rate`."""
        self._order = order
        self._fill()
