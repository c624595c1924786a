"""`kproxy bench cluster`: a cluster's own proxies, through its API."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kproxy.cli.benchmarks.options import INTERRUPTED, OutOption, save_report


def cluster(
    context: Annotated[str, typer.Option(help="Context in the kubeconfig.  [default: the current one]")] = "",
    kubeconfig: Annotated[Path | None, typer.Option(help="File.  [default: $KUBECONFIG, or ~/.kube/config]")] = None,
    services: Annotated[int, typer.Option(min=1, max=50_000, help="Services to make.")] = 100,
    endpoints: Annotated[int, typer.Option(min=1, max=1000, help="Endpoints of each.")] = 10,
    changes: Annotated[int, typer.Option(min=1, help="Changes to measure.")] = 50,
    connections: Annotated[int, typer.Option(min=1, help="Connections to each of four targets.")] = 500,
    rounds: Annotated[int, typer.Option(min=1, help="So often, for spreads; Services go and come in between.")] = 3,
    address: Annotated[
        str, typer.Option(help="Of this host, for the cluster's proxies.  [default: that which reaches the API server]")
    ] = "",
    load_seconds: Annotated[int, typer.Option(min=0, help="Of wrk and iperf3, each; 0: without them.")] = 1,
    metrics_url: Annotated[
        str, typer.Option(help="This node's proxy's metrics.", metavar="URL")
    ] = "http://127.0.0.1:10249/metrics",
    daemon_set: Annotated[
        str, typer.Option(help="The proxy's, whose pods' CPU and memory are asked for.", metavar="NAMESPACE/NAME")
    ] = "kube-system/kube-proxy",
    namespace: Annotated[str, typer.Option(help="Work in this one.  [default: a new one, deleted at the end]")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Work in a namespace that is there already.")] = False,
    clean_up: Annotated[bool, typer.Option("--clean-up", help="Only remove what killed runs left behind.")] = False,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for the cluster's proxy.")] = 120.0,
    out: OutOption = Path("bench-results/cluster"),
) -> None:
    """Measure a cluster's own proxies through its API; run it on a node, or in a pod with the host's network.

    Makes a namespace with labelled Services whose endpoints are servers of this command, and takes all of it away at
    the end, also after Ctrl-C, SIGTERM and errors. Nothing that it did not make is touched.

    As root on a node it also measures the proxy's process and the kernel. What cannot be had is left out, and the
    report says why.

    [bold]Examples[/bold]

      kproxy bench cluster --context staging --services 500

      kproxy bench cluster --daemon-set kube-system/kproxy --load-seconds 5

      kproxy bench cluster --clean-up       # after a run that was killed
    """
    import asyncio
    from datetime import UTC, datetime

    from kproxy.bench.interruption import run_until_interrupted
    from kproxy.bench.progress import Progress
    from kproxy.bench.remote.command import CONTENDER, Options, run
    from kproxy.bench.remote.measurement import ClusterError, Extent
    from kproxy.bench.remote.workspace import WorkspaceError, remove_leftovers
    from kproxy.bench.results.machine import describe
    from kproxy.bench.results.schema import Result

    if not all(daemon_set.partition("/")):
        raise typer.BadParameter(f"--daemon-set must be a namespace and a name, with a slash between: {daemon_set!r}")
    extent = Extent(services, endpoints, changes, connections, load_seconds, patience, rounds)
    options = Options(kubeconfig, context or None, namespace, yes, address, metrics_url, daemon_set, extent)
    command = ["kproxy", *sys.argv[1:]]
    result = Result(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command,
        machine=describe(),
        contenders={CONTENDER: [f"context {context or '(current)'}"]},
        settings={name: float(value) for name, value in extent._asdict().items()},
    )
    complete = False
    try:
        if clean_up:
            removed = asyncio.run(remove_leftovers(kubeconfig, context or None))
            typer.echo("\n".join(f"removed {words}" for words in removed) or "nothing to remove")
            return
        with Progress(rounds * (services + changes)) as progress:
            complete = run_until_interrupted(run(options, result, progress))
            result.interrupted = not complete
    except* (WorkspaceError, ClusterError) as errors:
        for error in _leaves(errors):
            typer.echo(str(error), err=True)
    if any(each.figures for each in result.runs):
        save_report(result, out)
    if not complete:
        raise typer.Exit(INTERRUPTED if result.interrupted else 2)


def _leaves(errors: BaseExceptionGroup[Exception]) -> list[BaseException]:
    """The errors in a group of groups."""
    return [
        leaf for each in errors.exceptions for leaf in (_leaves(each) if isinstance(each, ExceptionGroup) else [each])
    ]
