"""A comparison for people to read."""

from rich.console import Console
from rich.markup import escape

from kproxy.inspect.diff.report import Difference, DiffReport, Kind

_SIGNS: dict[Kind, tuple[str, str]] = {"missing": ("red", "-"), "extra": ("yellow", "+"), "different": ("magenta", "~")}
_MOST = 200


def show(report: DiffReport, console: Console) -> None:
    """Print a comparison."""
    console.print(f"[bold]{escape(report.mode)} mode[/bold], {report.method}: {report.compared} compared")
    for difference in report.differences[:_MOST]:
        _difference(difference, console)
    if len(report.differences) > _MOST:
        console.print(f"… and {len(report.differences) - _MOST} more")
    for note in report.notes:
        console.print(f"[yellow]![/yellow] {escape(note)}")
    for problem in report.problems[:10]:
        console.print(f"[yellow]left out:[/yellow] {escape(problem)}")
    if report.repaired:
        console.print(f"[green]repaired {len(report.repaired)}[/green]:")
        for difference in report.repaired[:_MOST]:
            _difference(difference, console)
    count = len(report.differences)
    words = "no difference" if not count else "1 difference" if count == 1 else f"{count} differences"
    console.print(f"[{'red' if count else 'green'}]{words}[/]")


def _difference(difference: Difference, console: Console) -> None:
    colour, sign = _SIGNS[difference.kind]
    whose = f"  [blue]{escape(f'[Service {difference.service}]')}[/blue]" if difference.service else ""
    place = escape(difference.place)
    console.print(f"[{colour}]{sign} {difference.kind:9}[/] [dim]{place}:[/dim] {escape(difference.object)}{whose}")
    if difference.wanted:
        console.print(f"              wanted [green]{escape(difference.wanted)}[/green]")
    if difference.found:
        console.print(f"              found  [red]{escape(difference.found)}[/red]")
