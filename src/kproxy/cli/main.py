"""The `kproxy` command: one module a command, loaded when it is used."""

from typing import Annotated

import typer

from kproxy import __version__
from kproxy.cli import (
    apiserver,
    bench,
    cleanup,
    config,
    demo,
    diff,
    doctor,
    lab,
    monitoring,
    render,
    run,
    status,
    switch,
    trace,
)

app = typer.Typer(
    name="kproxy",
    help="A Kubernetes node service proxy whose cost follows the change, not the cluster.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run.run)
app.command()(render.render)
app.command(epilog=apiserver.EXAMPLES)(apiserver.apiserver)
app.command()(demo.demo)
app.command()(lab.lab)
app.command()(cleanup.cleanup)
app.command(epilog=status.EXAMPLES)(status.status)
app.command(epilog=doctor.EXAMPLES)(doctor.doctor)
app.command(epilog=switch.EXAMPLES)(switch.switch)
app.command(epilog=trace.EXAMPLES)(trace.trace)
app.command(epilog=diff.EXAMPLES)(diff.diff)
app.add_typer(config.app, name="config")
app.add_typer(bench.app, name="bench")
app.add_typer(monitoring.app, name="monitoring")


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"kproxy {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass
