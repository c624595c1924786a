"""`kproxy status`: what the node's proxy does right now."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
Examples:

  kproxy status

  kproxy status --kubeconfig ~/.kube/config -o yaml

  kproxy status --watch

  kproxy status -o json | jq .conntrack
"""


def status(
    kubeconfig: Annotated[
        Path | None, typer.Option(help="How to reach the API server.  [default: as the proxy's configuration says]")
    ] = None,
    manifests: Annotated[
        Path | None, typer.Option(help="Read objects from this folder instead of an API server.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The proxy's configuration file.  [default: what the running proxy shows]")
    ] = None,
    metrics: Annotated[str, typer.Option(help="Where the running proxy serves /metrics.")] = "127.0.0.1:10249",
    node_name: Annotated[str, typer.Option(help="The name of this node.  [default: the host's]")] = "",
    output: Annotated[str, typer.Option("-o", "--output", help="table, json or yaml.")] = "table",
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
    from kproxy.inspect.output import ExitStatus, Format, InspectionError, complain, emit
    from kproxy.inspect.status.collect import collect
    from kproxy.inspect.status.rates import Names
    from kproxy.inspect.status.report import Status
    from kproxy.inspect.status.show import show

    where = Where(manifests=manifests, kubeconfig=kubeconfig, config=config, metrics=metrics, node_name=node_name)
    try:
        format_ = Format(output)
    except ValueError:
        complain(f"kproxy status: -o {output}: must be table, json or yaml")
        raise typer.Exit(ExitStatus.FAILED) from None
    try:
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
    except InspectionError as error:
        complain(f"kproxy status: {error}")
        raise typer.Exit(ExitStatus.FAILED) from None
    except Exception as error:  # whoever is on call gets one line, whatever happens
        complain(f"kproxy status: unexpected {type(error).__name__}: {error}")
        raise typer.Exit(ExitStatus.FAILED) from error
    report = collected.status
    emit(report, format_, lambda console: show(report, console))
    raise typer.Exit(ExitStatus.FINE if report.fine else ExitStatus.FOUND)
