"""`kproxy doctor`: what is wrong, why, and the command that mends it."""

from pathlib import Path
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
from kproxy.inspect.output import ExitStatus, Format, complain

EXAMPLES = """
Examples:

  kproxy doctor                                  # the whole node

  kproxy doctor default/web                      # one Service, from its DNS name to its pods

  kproxy doctor --bundle /tmp/node.tgz           # everything for a ticket, secrets left out

  kproxy doctor -o json | jq -r '.findings[].fixes[]'
"""


def doctor(
    service: Annotated[
        str, typer.Argument(help="NAMESPACE/NAME or NAME: walk this Service, from its DNS name to its pods.")
    ] = "",
    kubeconfig: Kubeconfig = None,
    manifests: Manifests = None,
    config: ConfigurationFile = None,
    metrics: Metrics = DEFAULT_METRICS,
    node_name: NodeName = "",
    check: Annotated[
        list[str] | None, typer.Option(help="Run this check only; may be given several times.  [default: all]")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the checks, and run none.")] = False,
    bundle: Annotated[Path | None, typer.Option(help="Write everything to this archive as well.")] = None,
    domain: Annotated[str, typer.Option(help="The cluster's DNS domain.")] = "cluster.local",
    timeout: Annotated[float, typer.Option(help="Seconds that a check may take.", min=0.1)] = 20.0,
    output: Output = Format.TABLE,
) -> None:
    """Check this node's Services, its kernel and its proxy, be it kproxy or the stock kube-proxy.

    Each finding comes with evidence, its cause and the command that fixes it. Checks run beside each other; what needs
    the API is left out without one. The exit status is 0 if all is well, 1 with findings, 2 if it could not be found
    out.
    """
    import asyncio

    from kproxy.inspect.desired import Where
    from kproxy.inspect.doctor.checks.registry import CHECKS
    from kproxy.inspect.doctor.command import Request, run

    if show_list:
        for each in CHECKS:
            typer.echo(f"{each.name:22} {each.question}")
        return
    where = Where(manifests=manifests, kubeconfig=kubeconfig, config=config, metrics=metrics, node_name=node_name)
    unknown = set(check or ()) - {each.name for each in CHECKS}
    if unknown:
        complain(f"kproxy doctor: --check {', '.join(sorted(unknown))}: no such check (see --list)")
        raise typer.Exit(ExitStatus.FAILED)
    chosen = tuple(each for each in CHECKS if not check or each.name in check)
    request = Request(where, chosen, service=service, bundle=bundle, domain=domain, timeout=timeout, format=output)
    with one_line("doctor"):
        status = asyncio.run(run(request))
    raise typer.Exit(status)
