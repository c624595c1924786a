"""The report for people."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from kproxy.inspect.status.histograms import Durations
from kproxy.inspect.status.report import CONNTRACK_NEARLY_FULL, Conntrack, Drift, Health, Status, Sync

_CONNTRACK_FULL = 0.95
_SHOWN = 5
_GOOD, _DOUBTFUL, _BAD, _FAINT = "green", "yellow", "bold red", "dim"


def show(status: Status, console: Console) -> None:
    """Print the report."""
    console.print(render(status))


def render(status: Status) -> RenderableType:
    """The report as something that rich prints, one row a subject."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for title, value in _rows(status):
        table.add_row(title, value)
    return table


def _rows(status: Status) -> Iterator[tuple[str, RenderableType]]:
    yield "Node", status.node
    yield "Mode", _mode(status)
    for number, words in enumerate(status.evidence):
        yield "Evidence" if number == 0 else "", Text(words, style=_FAINT)
    yield "Health", health(status.health)
    for sync in status.syncs:
        yield f"Sync {sync.family}", sync_age(sync)
        yield "", Text(_sync_durations(sync), style=_FAINT)
    if status.pending and (status.pending.services or status.pending.endpoints):
        text = (
            f"{status.pending.services} Services and {status.pending.endpoints} endpoints changed, not yet in the rules"
        )
        yield "Pending", Text(text, style=_DOUBTFUL)
    for failure in status.failures:
        yield "Failures", Text(f"{failure.count} ({failure.metric})", style=_BAD)
    yield from _objects(status)
    if status.kernel:
        yield "Kernel", ", ".join(f"{number} {kind}" for kind, number in status.kernel.items())
    if status.conntrack:
        yield "Conntrack", conntrack(status.conntrack)
    yield "Drift", drift(status.drift)
    for stale in status.stale:
        words = f"{stale.mode} mode's rules of {stale.owner} are still there: {'; '.join(stale.evidence)}"
        yield "Stale", Text(words, style=_BAD)
    yield "Settings", Text(f"from {status.configuration}", style=_FAINT)
    for problem in status.problems:
        yield "Unknown", Text(problem, style=_DOUBTFUL)


def _mode(status: Status) -> Text:
    if status.mode is None:
        several = "several modes' rules, and no proxy that answers" if status.evidence else "no proxy, and no rules"
        return Text(several, style=_BAD)
    by = f", by {status.proxy}" if status.proxy else ""
    running = Text("running", style=_GOOD) if status.running else Text("no proxy answers; rules only", style=_BAD)
    return Text.assemble((status.mode, "bold"), by, " — ", running)


def health(found: Health) -> Text:
    """One line about health."""
    if found.healthy:
        return Text("healthy", style=_GOOD)
    return Text(found.detail or "unhealthy", style=_BAD)


def sync_age(sync: Sync) -> Text:
    """How long ago the rules were right."""
    if sync.age is None:
        return Text("never", style=_BAD)
    text = Text(f"{seconds(sync.age)} ago", style=_GOOD)
    if sync.pending:
        text.append(", another one is queued", style=_DOUBTFUL)
    return text


def _sync_durations(sync: Sync) -> str:
    named = (("full", sync.full), ("partial", sync.partial)) if sync.full or sync.partial else (("", sync.all),)
    return "; ".join(_durations(name, found) for name, found in named if found) or "no durations told"


def _durations(name: str, found: Durations) -> str:
    figures = f"mean {seconds(found.mean)}, p50 {seconds(found.p50)}, p99 {seconds(found.p99)}"
    return f"{found.count} {name} syncs: {figures}".replace("  ", " ")


def _objects(status: Status) -> Iterator[tuple[str, RenderableType]]:
    objects = status.objects
    if objects is None:
        yield "Services", Text("unknown: give --kubeconfig or --manifests", style=_FAINT)
        return
    counts = f"{objects.services} Services, {objects.ports} ports, {objects.endpoints} endpoints"
    yield "Services", Text.assemble(counts, (f"  ({objects.source})", _FAINT))
    empty = objects.without_endpoints
    if empty:
        more = f" and {len(empty) - _SHOWN} more" if len(empty) > _SHOWN else ""
        yield "", Text(f"without endpoints: {', '.join(empty[:_SHOWN])}{more}", style=_DOUBTFUL)
    for problem in objects.problems[:_SHOWN]:
        yield "", Text(f"left out: {problem}", style=_BAD)


def conntrack(found: Conntrack) -> Text:
    """The table's use against its limit, as a bar."""
    share = found.share
    style = _BAD if share >= _CONNTRACK_FULL else _DOUBTFUL if share >= CONNTRACK_NEARLY_FULL else _GOOD
    full = min(20, round(share * 20))
    bar = Text("━" * full, style=style) + Text("━" * (20 - full), style="bright_black")
    return bar + Text(f" {found.entries} of {found.limit} ({share:.1%})", style=style)


def drift(found: Drift) -> Text:
    """One line about drift."""
    if not found.compared:
        return Text(found.reason, style=_FAINT)
    if not found.differences:
        return Text("none: the kernel holds what it should", style=_GOOD)
    return Text(f"{found.differences} differences: {'; '.join(found.examples)}", style=_BAD)


def seconds(value: float) -> str:
    """A duration with three significant digits at most."""
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def panel(status: Status) -> Group:
    """The top of the live view: what matters, in few lines."""
    lines = [Text.assemble(("mode ", "bold"), _mode(status), "   ", ("health ", "bold"), health(status.health))]
    for sync in status.syncs:
        figures = Text(f"  {_sync_durations(sync)}", style=_FAINT)
        lines.append(Text.assemble((f"{sync.family} synced ", "bold"), sync_age(sync)) + figures)
    if status.objects:
        objects = status.objects
        counts = f"{objects.services} Services, {objects.endpoints} endpoints"
        empty = f", {len(objects.without_endpoints)} without endpoints" if objects.without_endpoints else ""
        lines.append(Text.assemble(("objects ", "bold"), counts, (empty, _DOUBTFUL)))
    if status.conntrack:
        lines.append(Text.assemble(("conntrack ", "bold")) + conntrack(status.conntrack))
    lines.append(Text.assemble(("drift ", "bold"), drift(status.drift)))
    lines += [
        Text(f"stale {each.mode} rules of {each.owner}: {'; '.join(each.evidence)}", style=_BAD)
        for each in status.stale
    ]
    return Group(*lines)
