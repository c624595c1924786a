"""`kproxy diff`: what the kernel should hold, against what it holds."""

from pathlib import Path
from typing import Annotated

import typer

from kproxy.inspect.output import ExitStatus, Format

EXAMPLES = """
[bold]Examples[/bold]

  kproxy diff                                     # the running proxy's mode and API server

  kproxy diff --kubeconfig ~/.kube/config -o json | jq '.differences[].service'

  kproxy diff --manifests ./services --mode nftables

  kproxy diff --repair                            # and write what differs

[bold]Exit status[/bold]: 0 no difference (left), 1 differences, 2 it could not be compared or repaired.
"""


def diff(
    repair: Annotated[bool, typer.Option("--repair", help="Write what differs, on a node that kproxy runs.")] = False,
    manifests: Annotated[
        Path | None, typer.Option(help="Read Services and EndpointSlices from the YAML files in this folder.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="How to reach the API server.  [default: as the proxy does]")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The proxy's configuration file.  [default: ask the running proxy]")
    ] = None,
    metrics: Annotated[str, typer.Option(help="Where the running proxy tells its configuration.")] = "127.0.0.1:10249",
    mode: Annotated[
        str, typer.Option(help="The proxy's mode.  [default: as configured, else as the kernel shows]")
    ] = "",
    node_name: Annotated[str, typer.Option(help="This node's name.  [default: as configured, else the host's]")] = "",
    cluster_cidr: Annotated[str, typer.Option(help="The pods' networks, one for each IP family.")] = "",
    output: Annotated[Format, typer.Option("-o", "--output", help="How to print.")] = Format.TABLE,
) -> None:
    """Compare what the kernel holds with what it should, object by object, each with the Service that it is for.

    On a node that kube-proxy runs, its rules are compared by what they do: chain by chain in iptables mode, server by
    server in IPVS mode, and in nftables mode by evaluating them for each address and port.
    """
    from kproxy.inspect.desired import Where
    from kproxy.inspect.diff.command import run
    from kproxy.inspect.diff.presentation import show
    from kproxy.inspect.output import InspectionError, complain, emit

    where = Where(
        manifests=manifests,
        kubeconfig=kubeconfig,
        config=config,
        metrics=metrics,
        node_name=node_name,
        cluster_cidr=cluster_cidr,
    )
    try:
        report = run(where, mode=mode, mend=repair)
    except InspectionError as error:
        complain(f"kproxy diff: {error}")
        raise typer.Exit(ExitStatus.FAILED) from None
    emit(report, output, lambda console: show(report, console))
    raise typer.Exit(ExitStatus.FOUND if report.differences else ExitStatus.FINE)
