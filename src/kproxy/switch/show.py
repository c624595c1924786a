"""Plans and reports for people."""

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from kproxy.switch.plan import Outcome, Plan, Report, Step

_MARKS = {
    Outcome.PLANNED: ("·", "dim"),
    Outcome.DONE: ("✓", "green"),
    Outcome.UNCHANGED: ("=", "dim"),
    Outcome.FAILED: ("✗", "bold red"),
    Outcome.ROLLED_BACK: ("↩", "yellow"),
}


def show_plan(plan: Plan, console: Console) -> None:
    """Print what will be done."""
    console.print(Text.assemble((plan.subject, "bold"), f": {plan.from_mode} → {plan.to_mode}"), soft_wrap=True)
    width = max((len(step.name) for step in plan.steps), default=0)
    for number, step in enumerate(plan.steps, 1):
        console.print(f"  {number}. {escape(step.name):{width}}  {escape(step.words)}", soft_wrap=True)
    for warning in plan.warnings:
        console.print(Text(f"  ! {warning}", style="yellow"), soft_wrap=True)
    for obstacle in plan.obstacles:
        console.print(Text(f"  ✗ {obstacle}", style="bold red"), soft_wrap=True)


def show_step(step: Step, console: Console) -> None:
    """Print what became of one step."""
    mark, style = _MARKS[step.outcome]
    console.print(
        Text.assemble((f"{mark} ", style), (f"{step.name}: ", "bold"), step.detail or step.words), soft_wrap=True
    )


def show_result(report: Report, console: Console) -> None:
    """Print how it ended."""
    plan = report.plan
    if report.dry_run:
        console.print(Text("dry run: nothing was changed", style="cyan"))
    elif report.succeeded:
        console.print(Text(f"{plan.subject}: {plan.to_mode} mode", style="bold green"))
    else:
        console.print(Text(f"{plan.subject}: not switched to {plan.to_mode} mode", style="bold red"))
