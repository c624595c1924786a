"""`kproxy monitoring`: Prometheus rules and alerts, a Grafana dashboard, and what to scrape."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kproxy.monitoring.settings import Settings

app = typer.Typer(
    help="Print Prometheus rules, alerts and a Grafana dashboard, for kproxy and the stock kube-proxy.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Output(StrEnum):
    """How alerts are listed."""

    table = "table"
    json = "json"
    yaml = "yaml"


_Job = Annotated[str, typer.Option(help="A regular expression for the proxies' label job.")]
_Objective = Annotated[float, typer.Option(help="The share of endpoint changes to be in the rules in time.")]
_Within = Annotated[float, typer.Option(help="In time: seconds; a bucket of the histogram of programming latency.")]

_JOB, _OBJECTIVE, _WITHIN = "kube-proxy|kproxy", 0.99, 10.0


@app.command()
def rules(job: _Job = _JOB, objective: _Objective = _OBJECTIVE, within: _Within = _WITHIN) -> None:
    """Print recording and alerting rules, as a file for Prometheus' rule_files.

    [bold]Examples[/bold]

      kproxy monitoring rules > /etc/prometheus/rules/kube-proxy.yaml

      kproxy monitoring rules --within 5 --objective 0.995 | promtool check rules
    """
    from kproxy.monitoring.rule_file import rule_file, to_yaml

    sys.stdout.write(to_yaml(rule_file(_settings(job, objective, within))))


@app.command()
def alerts(
    job: _Job = _JOB,
    objective: _Objective = _OBJECTIVE,
    within: _Within = _WITHIN,
    output: Annotated[Output, typer.Option("-o", "--output", help="The form.")] = Output.table,
) -> None:
    """List the alerts: what each means, and how long its condition has to hold.

    [bold]Examples[/bold]

      kproxy monitoring alerts

      kproxy monitoring alerts -o json | jq -r '.[] | select(.labels.severity == "critical") | .alert'
    """
    import msgspec

    from kproxy.monitoring.rule_file import rule_file, to_yaml

    found = rule_file(_settings(job, objective, within)).alerts()
    if output is Output.json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
    elif output is Output.yaml:
        sys.stdout.write(to_yaml(found))
    else:
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for heading in ("ALERT", "SEVERITY", "FOR", "MEANING"):
            table.add_column(heading)
        for alert in found:
            severity = alert.labels["severity"]
            table.add_row(
                alert.alert,
                severity,
                alert.for_,
                alert.annotations.summary,
                style="bold" if severity == "critical" else "",
            )
        Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(table)


@app.command()
def dashboard(objective: _Objective = _OBJECTIVE, within: _Within = _WITHIN) -> None:
    """Print the Grafana dashboard in JSON, to be imported or provisioned; it uses the recording rules.

    [bold]Examples[/bold]

      kproxy monitoring dashboard > /var/lib/grafana/dashboards/kube-proxy.json
    """
    from kproxy.monitoring.dashboard.dashboard import dashboard as make
    from kproxy.monitoring.dashboard.dashboard import to_json

    sys.stdout.write(to_json(make(_settings(_JOB, objective, within))))


@app.command()
def write(
    folder: Annotated[Path, typer.Argument(help="Is made if it is missing.", show_default=False)],
    job: _Job = _JOB,
    objective: _Objective = _OBJECTIVE,
    within: _Within = _WITHIN,
) -> None:
    """Write all of it into a folder: rules, dashboard, and manifests for the Prometheus operator.

    [bold]Examples[/bold]

      kproxy monitoring write deploy/monitoring

      kproxy monitoring write ./monitoring --job kube-system/kube-proxy
    """
    from kproxy.monitoring.artifacts import artifacts

    made = artifacts(_settings(job, objective, within))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in made.items():
            (folder / name).write_text(text, encoding="utf-8")
            typer.echo(folder / name)
    except OSError as error:
        typer.echo(f"kproxy monitoring write: {error}", err=True)
        raise typer.Exit(1) from None


def _settings(job: str, objective: float, within: float) -> "Settings":
    from kproxy.monitoring.settings import Settings, SettingsError

    try:
        return Settings(job=job, objective=objective, within=within).checked()
    except SettingsError as error:
        typer.echo(f"kproxy monitoring: {error}", err=True)
        raise typer.Exit(2) from None
