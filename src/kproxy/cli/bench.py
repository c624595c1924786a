"""`kproxy bench`: what a proxy costs, measured."""

import typer

from kproxy.cli.benchmarks import cluster, compare, guard, hollow, local, model, profile

app = typer.Typer(
    help="Measure proxies: on this machine, against a cluster, beside another proxy, and beyond one machine.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
app.command()(local.local)
app.command()(cluster.cluster)
app.command()(compare.compare)
app.command()(guard.guard)
app.command()(model.model)
app.command()(hollow.hollow)
app.command()(profile.profile)
