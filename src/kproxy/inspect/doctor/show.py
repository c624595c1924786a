"""Findings and walks for people."""

import functools
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from kproxy.inspect.doctor.examination import Examination
from kproxy.inspect.doctor.finding import Finding, Severity
from kproxy.inspect.doctor.walk import Result, Walk

_STYLES = {Severity.CRITICAL: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
_MARKS = {Result.OK: ("✓", "green"), Result.FAILED: ("✗", "bold red"), Result.SKIPPED: ("–", "dim")}


def show_examination(found: Examination, console: Console) -> None:
    """Print findings, the worst first, and what was fine."""
    for finding in found.findings:
        _show_finding(finding, console)
    for unanswered in found.unanswered:
        console.print(Text(f"?  {unanswered.check}: no answer ({unanswered.reason})", style="yellow"))
    for unknown in found.unknown:
        console.print(Text(f"?  {unknown}", style="yellow"))
    serious = sum(finding.severity is not Severity.NOTE for finding in found.findings)
    verdict = f"{serious} finding{'s' if serious != 1 else ''}" if serious else "nothing wrong"
    counts = f"{verdict}; {len(found.passed)} checks passed"
    if found.skipped:
        counts += f", {len(found.skipped)} skipped: they need an API server (--kubeconfig) or --manifests"
    mode = f" in {found.mode} mode" if found.mode else ""
    console.print(Text(f"{found.node}{mode}: {counts}", style="bold red" if serious else "bold green"))


def _show_finding(finding: Finding, console: Console) -> None:
    style = _STYLES[finding.severity]
    show = functools.partial(console.print, soft_wrap=True)
    show(Text.assemble((f"{finding.severity.value.upper():8} ", style), (finding.subject, "bold")))
    for words in finding.evidence:
        show(f"         {escape(words)}")
    show(f"         [dim]cause:[/dim]  {escape(finding.cause)}")
    _show_remedy(console, finding.fixes, finding.look, finding.advice)
    show()


def _show_remedy(console: Console, fixes: Sequence[str], look: Sequence[str], advice: str) -> None:
    show = functools.partial(console.print, soft_wrap=True)
    for label, commands in (("fix:", fixes), ("look:", look)):
        for number, command in enumerate(commands):
            show(f"         [dim]{'' if number else label:7}[/dim] [green]{escape(command)}[/green]")
    if advice:
        show(f"         [dim]advice:[/dim] {escape(advice)}")


def show_walk(found: Walk, console: Console) -> None:
    """Print the steps of a walk, and what was found about its Service."""
    console.print(Text(f"Service {found.service}", style="bold"))
    for step in found.steps:
        mark, style = _MARKS[step.result]
        console.print(Text.assemble((f"{mark} ", style), f"{step.step}: ", (step.detail, style)), soft_wrap=True)
        _show_remedy(console, step.fixes, (), step.advice)
    if found.findings:
        console.print()
    for finding in found.findings:
        _show_finding(finding, console)
