"""`kproxy bench compare`: two results held against each other."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def compare(
    first: Annotated[Path, typer.Argument(help="A result's JSON file.")],
    second: Annotated[Path, typer.Argument(help="Another one, of the same machine.")],
) -> None:
    """Hold two results against each other: ratios with confidence intervals, and what is no more than noise.

    [bold]Examples[/bold]

      kproxy bench compare before.json after.json
    """
    from rich.console import Console
    from rich.table import Table

    from kproxy.bench.reports.comparison import compare as compared
    from kproxy.bench.reports.comparison import differences
    from kproxy.bench.results.schema import ResultError, read

    try:
        before, after = read(first), read(second)
    except ResultError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    for words in differences(before, after):
        typer.echo(f"warning: not the same: {words}", err=True)
    found = compared(before, after)
    if not found.rows:
        typer.echo("the two have no run in common: the same contender, mode and cluster", err=True)
        raise typer.Exit(1)
    shown = Table(*found.header, title=found.title)
    for row in found.rows:
        shown.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else 170).print(shown)
