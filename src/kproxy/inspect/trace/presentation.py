"""A trace for people to read."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kproxy.inspect.trace.report import Because, FateName, Trace, TraceOutcome, TraceStep, View

_TITLES = {
    "desired": "Desired: what the Services say",
    "actual": "Actual: what the kernel's rules do",
    "live": "Live: what the kernel did with a probe",
}
_COLOURS: dict[FateName, str] = {
    "redirected": "green",
    "unchanged": "cyan",
    "local": "cyan",
    "dropped": "red",
    "rejected": "yellow",
}
_MOST_OUTCOMES = 30


def show(found: Trace, console: Console, *, rules: bool = False) -> None:
    """Print a trace.

    Args:
        found: the trace
        console: where to
        rules: with the text of every rule
    """
    target = f"[{found.destination}]" if ":" in found.destination else found.destination
    mode = f"  [dim]({escape(found.mode)} mode)[/dim]" if found.mode else ""
    console.print(f"[bold]{found.source} → {escape(target)}:{found.port}/{found.protocol}[/bold]{mode}")
    for view in found.views:
        console.print()
        _view(view, console, rules=rules)
    console.print()
    for problem in found.problems[:10]:
        console.print(f"[yellow]note:[/yellow] {escape(problem)}")
    if len(found.problems) > 10:
        console.print(f"[yellow]and {len(found.problems) - 10} more problems[/yellow]")
    for words in found.disagreements:
        console.print(f"[bold red]disagreement:[/bold red] {escape(words)}")
    if found.mode == "userspace":
        console.print(
            "[dim]in userspace mode rules lead to the proxy's process, which chooses the endpoint itself[/dim]"
        )
    if len(found.views) > 1 and not found.disagreements:
        console.print("[green]all views agree[/green]")


def _view(view: View, console: Console, *, rules: bool) -> None:
    console.print(f"[bold]{_TITLES[view.name]}[/bold] [dim]({escape(view.origin)})[/dim]")
    for number, step in enumerate(view.steps, 1):
        _step(step, f"{number:>3}. ", console, rules=rules)
    for doubt in view.not_understood:
        console.print(f"   [yellow]? rule not understood[/yellow] in {escape(doubt.where)}: {escape(doubt.reason)}")
        console.print(f"     [dim]{escape(doubt.rule)}[/dim]")
    for note in view.notes:
        console.print(f"   [yellow]![/yellow] {escape(note)}")
    _outcomes(view, console, rules=rules)
    if view.confidence == "low":
        console.print("   [yellow]low confidence: not everything that the packet meets could be evaluated[/yellow]")


def _step(step: TraceStep, prefix: str, console: Console, *, rules: bool) -> None:
    where = f"[dim]{escape(step.where)}:[/dim] " if step.where else ""
    console.print(f"{prefix}{where}{escape(step.text)}{_because(step.because)}")
    if rules and step.rule:
        console.print(f"{' ' * len(prefix)}[dim]{escape(step.rule)}[/dim]")


def _because(because: Because | None) -> str:
    return f"  [blue]{escape(f'[{because}]')}[/blue]" if because else ""


def _outcomes(view: View, console: Console, *, rules: bool) -> None:
    redirected = [outcome for outcome in view.outcomes if outcome.fate == "redirected"]
    for outcome in view.outcomes:
        if outcome.fate != "redirected":
            share = "" if outcome.probability > 0.999 else f" ({outcome.probability:.1%})"
            colour = _COLOURS[outcome.fate]
            console.print(f"   [{colour}]⇒ {outcome.fate}[/{colour}]{share}{_because(outcome.because)}")
            for step in outcome.steps:
                _step(step, "      · ", console, rules=rules)
    if not redirected:
        return
    table = Table(box=None, padding=(0, 2), show_header=True, header_style="dim")
    for column in ("   ⇒ endpoint", "share", "sees the client as"):
        table.add_column(column)
    for outcome in redirected[:_MOST_OUTCOMES]:
        table.add_row(*_row(outcome))
    console.print(table)
    if len(redirected) > _MOST_OUTCOMES:
        console.print(f"     … and {len(redirected) - _MOST_OUTCOMES} more")
    for warning in dict.fromkeys(outcome.warning for outcome in redirected if outcome.warning):
        console.print(f"   [yellow]![/yellow] {escape(warning)}")
    if rules:
        for outcome in redirected[:_MOST_OUTCOMES]:
            console.print(f"   [dim]on the way to {escape(outcome.endpoint)}:[/dim]")
            for step in outcome.steps:
                _step(step, "      · ", console, rules=True)


def _row(outcome: TraceOutcome) -> tuple[str, str, str]:
    seen = outcome.source or "this node"
    if outcome.masqueraded:
        seen += " [magenta](masqueraded)[/magenta]"
    name = f" [dim]{escape(outcome.endpoint_name)}[/dim]" if outcome.endpoint_name else ""
    return f"   [green]{escape(outcome.endpoint)}[/green]{name}", f"{outcome.probability:.1%}", seen
