"""`kproxy diff`: what the kernel should hold, against what it holds."""

from typing import Annotated

import typer

from kproxy.cli.options import (
    DEFAULT_METRICS,
    ClusterCIDR,
    ConfigurationFile,
    Kubeconfig,
    Manifests,
    Metrics,
    NodeName,
    Output,
    one_line,
)
from kproxy.inspect.output import ExitStatus, Format, emit

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
    manifests: Manifests = None,
    kubeconfig: Kubeconfig = None,
    config: ConfigurationFile = None,
    metrics: Metrics = DEFAULT_METRICS,
    mode: Annotated[
        str, typer.Option(help="The proxy's mode.  [default: as configured, else as the kernel shows]")
    ] = "",
    node_name: NodeName = "",
    cluster_cidr: ClusterCIDR = "",
    output: Output = Format.TABLE,
) -> None:
    """Compare what the kernel holds with what it should, object by object, each with the Service that it is for.

    On a node that kube-proxy runs, its rules are compared by what they do: chain by chain in iptables mode, server by
    server in IPVS mode, and in nftables mode by evaluating them for each address and port.
    """
    from kproxy.inspect.desired import Where
    from kproxy.inspect.diff.command import run
    from kproxy.inspect.diff.presentation import show

    where = Where(
        manifests=manifests,
        kubeconfig=kubeconfig,
        config=config,
        metrics=metrics,
        node_name=node_name,
        cluster_cidr=cluster_cidr,
    )
    with one_line("diff"):
        report = run(where, mode=mode, mend=repair)
    emit(report, output, lambda console: show(report, console))
    raise typer.Exit(ExitStatus.FOUND if report.differences else ExitStatus.FINE)
