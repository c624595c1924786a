"""`kproxy bench model`: from one node to a cluster."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kproxy.cli.benchmarks.options import numbers


def model(
    result: Annotated[Path, typer.Argument(help="A local run's JSON file: where the costs come from.")],
    nodes: Annotated[str, typer.Option(help="Numbers of nodes, with commas between them.")] = "100,1000,5000",
    services: Annotated[str, typer.Option(help="Numbers of Services.")] = "1000,10000,50000",
    churn: Annotated[str, typer.Option(help="Endpoint changes per second in the cluster.")] = "1,50,500",
    hollow_result: Annotated[
        Path | None, typer.Option("--hollow", help="What `kproxy bench hollow` found: the API server's costs.")
    ] = None,
) -> None:
    """Extrapolate to clusters: API load, CPU of a node, and programming latency, with all assumptions.

    [bold]Examples[/bold]

      kproxy bench model bench-results/local.json --nodes 500 --services 20000 --churn 100

      kproxy bench model bench-results/local.json --hollow bench-results/hollow.json
    """
    import itertools

    from rich.console import Console

    from kproxy.bench.model.extrapolation import ASSUMPTIONS, ApiCosts, Case, predict
    from kproxy.bench.model.hollow_report import read_costs
    from kproxy.bench.model.prediction_table import table
    from kproxy.bench.results.schema import ResultError, read

    try:
        measured = read(result)
        api = ApiCosts(read_costs(hollow_result)) if hollow_result else None
    except ResultError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    axes = (numbers(nodes, "--nodes"), numbers(services, "--services"), numbers(churn, "--churn"))
    cases = [Case(n, s, float(c)) for n, s, c in itertools.product(*axes)]
    endpoints = max((run.endpoints for run in measured.runs), default=0)
    predictions = list(predict(measured, cases, endpoints, api))
    if not predictions:
        typer.echo(f"{result}: has no mode with a measured cost of a change", err=True)
        raise typer.Exit(1)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)
    console.print(table(predictions))
    typer.echo(f"Assumptions, with costs of {measured.machine.cores} × {measured.machine.processor}:")
    for words in ASSUMPTIONS:
        typer.echo(f"- {words}")
    if api is None:
        typer.echo("- the API server's CPU is left out: name a hollow run with --hollow")
