"""`kproxy bench guard`: counts against their budgets."""

import sys
from typing import Annotated

import typer


def guard(
    record: Annotated[bool, typer.Option("--record", help="Make what is counted the budget from now on.")] = False,
) -> None:
    """Hold counts that are the same on every machine against their budgets; exit status 1 when one is exceeded.

    Counts netlink messages and bytes, rules, system calls, calls and bytecode instructions of one change and of a
    full sync, and modules imported at start-up. Needs root for nftables mode.

    [bold]Examples[/bold]

      kproxy bench guard

      kproxy bench guard --record     # after a change that is worth its price
    """
    import msgspec
    from rich.console import Console
    from rich.table import Table

    from kproxy.bench.guard import budgets
    from kproxy.bench.guard.workloads import WORKLOADS

    try:
        counts = {name: budgets.count(name) for name in WORKLOADS}
        if record:
            budgets.record(counts)
            typer.echo(f"recorded in {budgets.FILE}")
            return
        recorded = budgets.load()
    except (OSError, msgspec.DecodeError) as error:
        typer.echo(f"kproxy bench guard: {error}", err=True)
        raise typer.Exit(2) from None
    findings = [finding for name, found in counts.items() for finding in budgets.judge(name, found, recorded)]
    shown = Table("workload", "what", "counted", "budget", "")
    for finding in findings:
        budget = "–" if finding.budget is None else f"{finding.budget:,}"
        mark = "[green]✓[/green]" if finding.kept else "[red]✗[/red]"
        shown.add_row(finding.workload, finding.what, f"{finding.counted:,}", budget, mark)
    Console(highlight=False, width=None if sys.stdout.isatty() else 110).print(shown)
    raise typer.Exit(0 if all(finding.kept for finding in findings) else 1)
