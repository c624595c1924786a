"""`kproxy lab`: prove what a proxy does with packets."""

import shlex
from typing import Annotated

import typer


def lab(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(help="Scenario files, or names of the project's own (default: all of those)"),
    ] = None,
    mode: Annotated[str, typer.Option(help="The proxy mode under test.")] = "nftables",
    source: Annotated[str, typer.Option(help="Where the proxy reads objects: api or manifests.")] = "api",
    proxy: Annotated[
        str, typer.Option(help="The proxy under test: a command that takes --config FILE -v 2 (default: ours)")
    ] = "",
    show_list: Annotated[bool, typer.Option("--list", help="List the project's scenarios, and run none.")] = False,
) -> None:
    """Run scenarios: Services in front of pods on a node made of network namespaces, and requests from everywhere.

    What each client meets is held against the scenario's table of expectations; differences are printed, and the
    exit status is 1 if there are any, 2 if a scenario could not be run.

    [bold]Examples[/bold]

      kproxy lab                              # everything, some forty seconds

      kproxy lab affinity topology            # two of them

      kproxy lab ./mine.yaml --source manifests

      kproxy lab --proxy /usr/local/bin/kube-proxy --mode iptables
    """
    from kproxy.lab.command import list_scenarios, play

    if show_list:
        typer.echo(list_scenarios())
        raise typer.Exit
    raise typer.Exit(play(scenarios or [], mode, source, shlex.split(proxy)))
