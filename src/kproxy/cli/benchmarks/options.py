"""What the benchmark commands have in common: lists of numbers, and where reports go."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kproxy.bench.results.schema import Result

INTERRUPTED = 130
"""The exit status after Ctrl-C, as shells have it."""
OutOption = Annotated[
    Path, typer.Option("--out", help="Where the report goes: this name with .json, .md and .html appended.")
]


def numbers(text: str, what: str) -> list[int]:
    """Numbers with commas between them; raises typer.BadParameter."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise typer.BadParameter(f"{what} must be numbers from 1 up, with commas between them: {text!r}")
    return found


def save_report(result: "Result", out: Path) -> None:
    """Write a report and say where, or why not; raises typer.Exit."""
    from kproxy.bench.reports.files import save

    try:
        written, problems = save(result, out)
    except OSError as error:
        typer.echo(f"{error.filename or out}: {error.strerror}", err=True)
        raise typer.Exit(1) from None
    for problem in problems:
        typer.echo(problem, err=True)
    for path in written:
        typer.echo(f"wrote {path}")
