"""`kproxy apiserver`: the embedded API server on its own."""

import asyncio
import contextlib
import signal
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from kproxy.apiserver import ApiServer, Store, data_file
from kproxy.apiserver.kubeconfig import write_kubeconfig
from kproxy.apiserver.manifests import load_manifests
from kproxy.apiserver.store import DEFAULT_HISTORY, DEFAULT_SERVICE_CIDRS

app = typer.Typer()

EXAMPLES = """
Examples:

  kproxy apiserver --kubeconfig-out /tmp/kubeconfig

  kubectl --kubeconfig /tmp/kubeconfig get services -A

  kproxy apiserver --manifests deploy/ --data /var/lib/kproxy/objects.jsonl
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; see the command's help."""

    bind: str
    port: int
    manifests: Path | None = None
    kubeconfig_out: Path | None = None
    service_cidrs: tuple[str, ...] = DEFAULT_SERVICE_CIDRS
    data: Path | None = None
    history: int = DEFAULT_HISTORY
    token_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


@app.command(epilog=EXAMPLES)
def apiserver(
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 6443,
    manifests: Annotated[Path | None, typer.Option(help="Folder of YAML files to load at the start.")] = None,
    kubeconfig_out: Annotated[Path | None, typer.Option(help="Write a kubeconfig for the server here.")] = None,
    service_cidr: Annotated[
        str, typer.Option(help="Where cluster IPs come from: a network, or one of each family.")
    ] = ",".join(DEFAULT_SERVICE_CIDRS),
    data: Annotated[Path | None, typer.Option(help="Keep the objects in this file.")] = None,
    history: Annotated[int, typer.Option(help="Events kept for watches, for each resource.", min=1)] = DEFAULT_HISTORY,
    token_file: Annotated[Path | None, typer.Option(help="File with the bearer token that clients need.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate (PEM); makes the server speak HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM).")] = None,
) -> None:
    """Serve Services, EndpointSlices and Nodes to kubectl and to kube-proxies, without a cluster."""
    cidrs = tuple(text.strip() for text in service_cidr.split(","))
    options = Options(bind, port, manifests, kubeconfig_out, cidrs, data, history, token_file, tls_cert, tls_key)
    try:
        asyncio.run(run(options))
    except (OSError, ValueError) as error:
        typer.echo(f"kproxy apiserver: {error}", err=True)
        raise typer.Exit(1) from error


async def run(options: Options) -> None:
    """Serve until SIGINT or SIGTERM; raises `OSError` or `ValueError` when the options cannot be followed."""
    # Versions that start from the clock are never those of an earlier run: its clients list anew.
    store = Store(
        service_cidrs=options.service_cidrs,
        history=options.history,
        first_resource_version=1 if options.data else int(time.time() * 1000),
    )
    if options.data is not None:
        data_file.load(store, options.data)
    if options.manifests is not None:
        loaded = load_manifests(store, options.manifests)
        for problem in loaded.problems:
            typer.echo(f"kproxy apiserver: {problem}", err=True)
        typer.echo(f"{loaded.count} objects from {options.manifests}")
    token = options.token_file.read_text().strip() if options.token_file else None
    server = ApiServer(store, options.bind, options.port, ssl_context=_ssl_context(options), token=token)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with server:
        if options.kubeconfig_out is not None:
            write_kubeconfig(
                options.kubeconfig_out, server.url, token=token or "", certificate_authority=options.tls_cert
            )
        typer.echo(f"serving on {server.url}")
        await _until(stop, store, options.data)


async def _until(stop: asyncio.Event, store: Store, data: Path | None) -> None:
    """Wait for the stop, keeping the data file meanwhile; raises what made keeping it fail."""
    stopping = asyncio.ensure_future(stop.wait())
    keeping = asyncio.ensure_future(data_file.keep(store, data)) if data else None
    try:
        await asyncio.wait([stopping, *([keeping] if keeping else [])], return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if keeping is not None:
            keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeping


def _ssl_context(options: Options) -> ssl.SSLContext | None:
    if options.tls_cert is None:
        if options.token_file is not None:
            raise ValueError("--token-file needs --tls-cert: Go clients send no token over plain HTTP")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.tls_cert, options.tls_key)
    return context
