"""`kproxy doctor`: what is wrong, why, and the command that mends it."""

from pathlib import Path
from typing import Annotated

import typer

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
    check: Annotated[
        list[str] | None, typer.Option(help="Run this check only; may be given several times.  [default: all]")
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="List the checks, and run none.")] = False,
    bundle: Annotated[Path | None, typer.Option(help="Write everything to this archive as well.")] = None,
    domain: Annotated[str, typer.Option(help="The cluster's DNS domain.")] = "cluster.local",
    timeout: Annotated[float, typer.Option(help="Seconds that a check may take.", min=0.1)] = 20.0,
    output: Annotated[str, typer.Option("-o", "--output", help="table, json or yaml.")] = "table",
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
    from kproxy.inspect.output import ExitStatus, Format, InspectionError, complain

    if show_list:
        for each in CHECKS:
            typer.echo(f"{each.name:22} {each.question}")
        return
    where = Where(manifests=manifests, kubeconfig=kubeconfig, config=config, metrics=metrics, node_name=node_name)
    try:
        format_ = Format(output)
    except ValueError:
        complain(f"kproxy doctor: -o {output}: must be table, json or yaml")
        raise typer.Exit(ExitStatus.FAILED) from None
    unknown = set(check or ()) - {each.name for each in CHECKS}
    if unknown:
        complain(f"kproxy doctor: --check {', '.join(sorted(unknown))}: no such check (see --list)")
        raise typer.Exit(ExitStatus.FAILED)
    chosen = tuple(each for each in CHECKS if not check or each.name in check)
    request = Request(where, chosen, service=service, bundle=bundle, domain=domain, timeout=timeout, format=format_)
    try:
        status = asyncio.run(run(request))
    except InspectionError as error:
        complain(f"kproxy doctor: {error}")
        raise typer.Exit(ExitStatus.FAILED) from None
    except Exception as error:  # whoever is on call gets one line, whatever happens
        complain(f"kproxy doctor: unexpected {type(error).__name__}: {error}")
        raise typer.Exit(ExitStatus.FAILED) from error
    raise typer.Exit(status)
