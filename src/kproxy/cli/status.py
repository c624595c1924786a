"""`kproxy status`: what the node's proxy does right now."""

from typing import Annotated

import typer

from kproxy.cli.options import (
    DEFAULT_METRICS,
    ConfigurationFile,
    Kubeconfig,
    Manifests,
    Metrics,
    NodeName,
    Output,
    one_line,
)
from kproxy.inspect.output import ExitStatus, Format, InspectionError, emit

EXAMPLES = """
Examples:

  kproxy status

  kproxy status --kubeconfig ~/.kube/config -o yaml

  kproxy status --watch

  kproxy status -o json | jq .conntrack
"""


def status(
    kubeconfig: Kubeconfig = None,
    manifests: Manifests = None,
    config: ConfigurationFile = None,
    metrics: Metrics = DEFAULT_METRICS,
    node_name: NodeName = "",
    output: Output = Format.TABLE,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="A live full-screen view.")] = False,
    interval: Annotated[float, typer.Option(help="Seconds between two looks of --watch.", min=0.2)] = 2.0,
) -> None:
    """Show mode, syncs, objects, connection tracking, health and drift; of kproxy and of the stock kube-proxy.

    The mode is told by the proxy itself and by what is in the kernel; the evidence is shown. Without a cluster, what
    the kernel tells is shown. The exit status is 0 if all is well, 1 if something is not, 2 if it could not be found
    out.
    """
    import asyncio
    import sys

    from kproxy.inspect.desired import Where
    from kproxy.inspect.status.collect import collect
    from kproxy.inspect.status.rates import Names
    from kproxy.inspect.status.report import Status
    from kproxy.inspect.status.show import show

    where = Where(manifests=manifests, kubeconfig=kubeconfig, config=config, metrics=metrics, node_name=node_name)
    with one_line("status"):
        if watch:
            if not sys.stdout.isatty():
                raise InspectionError("--watch needs a terminal")
            from kproxy.inspect.status.live import LiveStatus

            async def look() -> tuple[Status, Names]:
                found = await collect(where)
                return found.status, Names.of(found.desired)

            LiveStatus(look, interval=interval).run()
            return
        collected = asyncio.run(collect(where))
    report = collected.status
    emit(report, output, lambda console: show(report, console))
    raise typer.Exit(ExitStatus.FINE if report.fine else ExitStatus.FOUND)
