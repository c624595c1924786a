"""`kproxy trace`: what happens to a packet, and why."""

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

  kproxy trace node 10.96.0.10:80                     # a process of this node to a Service

  kproxy trace 10.244.1.10 default/web:http           # a pod, and a Service by its name

  kproxy trace kube-system/coredns-abc [fd00::10]:53/udp

  kproxy trace 192.0.2.7 192.0.2.1:30080 --manifests ./services

  kproxy trace node 10.96.0.10:80 --live              # and with a packet that is really sent

  kproxy trace node 10.96.0.10:80 -o json | jq '.views[].outcomes'

[bold]Exit status[/bold]: 0 the views agree, 1 they do not, 2 something could not be found out.
"""


def trace(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="node (a process of this node), an address, or NAMESPACE/POD.")
    ],
    destination: Annotated[
        str, typer.Argument(metavar="DST:PORT[/PROTO]", help="An address or a NAMESPACE/SERVICE, and a port.")
    ],
    live: Annotated[bool, typer.Option("--live", help="Send a packet too, and have the kernel trace it.")] = False,
    rules: Annotated[bool, typer.Option("--rules", help="Show the text of every rule.")] = False,
    manifests: Manifests = None,
    kubeconfig: Kubeconfig = None,
    config: ConfigurationFile = None,
    metrics: Metrics = DEFAULT_METRICS,
    mode: Annotated[str, typer.Option(help="The proxy's mode.  [default: as configured]")] = "",
    node_name: NodeName = "",
    cluster_cidr: ClusterCIDR = "",
    output: Output = Format.TABLE,
) -> None:
    """Tell what happens to a packet on this node, and why: Service, policy, endpoints, masquerade or refusal.

    It is derived from the Services, and from the rules that the kernel has; where the two disagree, it says so.
    Without an API server or manifests only the kernel is asked.
    """
    from kproxy.inspect.desired import Where
    from kproxy.inspect.trace.command import run
    from kproxy.inspect.trace.presentation import show
    from kproxy.inspect.trace.tracing import Question

    where = Where(
        manifests=manifests,
        kubeconfig=kubeconfig,
        config=config,
        metrics=metrics,
        node_name=node_name,
        cluster_cidr=cluster_cidr,
    )
    with one_line("trace"):
        found = run(Question(source, destination), where, mode=mode, live=live)
    emit(found, output, lambda console: show(found, console, rules=rules))
    raise typer.Exit(ExitStatus.FOUND if found.disagreements else ExitStatus.FINE)
