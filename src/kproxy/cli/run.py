"""`kproxy run`: the proxy, with options for people."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

ALL_ADDRESSES = "0.0.0.0/0,::/0"
REDIRECTIONS = ("auto", "nftables", "iptables", "none")
WITHOUT_PRIVILEGES = (
    "--oom-score-adj=0",
    "--conntrack-max-per-core=0",
    "--conntrack-tcp-timeout-established=0",
    "--conntrack-tcp-timeout-close-wait=0",
)
"""Nothing of the kernel's that needs them is set."""


def run(
    config: Annotated[
        Path | None, typer.Option(help="A KubeProxyConfiguration file; the options below it are then left to it.")
    ] = None,
    manifests: Annotated[
        Path | None,
        typer.Option(help="Read Services and EndpointSlices from the YAML files in this folder; no Kubernetes needed."),
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="How to reach the API server; in a pod, its service account is the default.")
    ] = None,
    mode: Annotated[str, typer.Option(help="How to balance.")] = "nftables",
    node_name: Annotated[str, typer.Option(help="The name of this node; the host's name is the default.")] = "",
    cluster_cidr: Annotated[
        str, typer.Option(help="The pods' networks, one for each IP family: traffic from elsewhere is masqueraded.")
    ] = "",
    node_port_addresses: Annotated[
        str, typer.Option(help="Where NodePorts answer: CIDRs, or primary.  [default: primary; with --manifests: all]")
    ] = "",
    masquerade_all: Annotated[bool, typer.Option(help="Masquerade everything sent to cluster IPs.")] = False,
    healthz: Annotated[
        str, typer.Option(help="Address and port of /healthz and /livez; empty: none.")
    ] = "0.0.0.0:10256",
    metrics: Annotated[str, typer.Option(help="Address and port of /metrics; empty: none.")] = "127.0.0.1:10249",
    redirect: Annotated[
        str, typer.Option(help="In userspace mode, what brings traffic here: auto, nftables, iptables, or none.")
    ] = "auto",
    bind: Annotated[
        list[str] | None, typer.Option(help="With --redirect none, the address to bind, at most one of each family.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="In userspace mode, processes that share all connections.")] = 1,
    takeover: Annotated[
        bool, typer.Option("--takeover", help="Have the proxy that runs end, and take its place; its rules stay.")
    ] = False,
    verbosity: Annotated[int, typer.Option("-v", "--verbosity", help="4 logs every sync.")] = 0,
) -> None:
    """Balance Services' traffic on this node until interrupted; the rules stay (see kproxy cleanup).

    [bold]Examples[/bold]

      kproxy run --manifests ./services           # on any Linux machine

      kproxy run --kubeconfig ~/.kube/config --cluster-cidr 10.244.0.0/16

      kproxy run --config /var/lib/kube-proxy/config.conf

      kproxy run --mode userspace --redirect none --bind 127.0.0.1 --manifests ./services   # without privileges
    """
    from kproxy.backends.userspace.local_services import table
    from kproxy.cli.serve import serve
    from kproxy.config import ConfigError, parse_command_line
    from kproxy.daemon.modes import make_backend, userspace_backend
    from kproxy.services.addresses import parse_address

    if manifests is not None and config is None and not node_port_addresses:
        node_port_addresses = ALL_ADDRESSES
    flags = {
        "config": str(config or ""),
        "kubeconfig": str(kubeconfig or ""),
        "hostname-override": node_name,
        "cluster-cidr": cluster_cidr,
        "nodeport-addresses": node_port_addresses,
    }
    arguments = [f"--{name}={value}" for name, value in flags.items() if value]
    if config is None:
        arguments += [
            f"--proxy-mode={mode}",
            f"--masquerade-all={str(masquerade_all).lower()}",
            f"--healthz-bind-address={healthz}",
            f"--metrics-bind-address={metrics}",
        ]
    if redirect == "none":
        arguments += WITHOUT_PRIVILEGES
    arguments += [f"--v={verbosity}", f"--takeover={str(takeover).lower()}"]
    try:
        command = parse_command_line(arguments)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if command.configuration.mode != "userspace":
        if redirect != "auto" or bind or workers != 1:
            typer.echo("--redirect, --bind and --workers are for --mode userspace", err=True)
            raise typer.Exit(2)
        raise typer.Exit(serve(command, arguments, manifests))
    if redirect not in REDIRECTIONS:
        typer.echo(f"--redirect {redirect}: must be one of {', '.join(REDIRECTIONS)}", err=True)
        raise typer.Exit(2)
    addresses = [parse_address(text) for text in bind or (["127.0.0.1"] if redirect == "none" else [])]
    if None in addresses or len({len(address) for address in addresses if address}) < len(addresses):
        typer.echo(f"--bind {' '.join(bind or [])}: must be IP addresses, one of each family at most", err=True)
        raise typer.Exit(2)
    userspace = partial(
        userspace_backend,
        redirect=redirect,
        bind=[address for address in addresses if address],
        workers=workers,
        on_local_services=lambda services: print(table(services), flush=True),
    )
    raise typer.Exit(serve(command, arguments, manifests, partial(make_backend, userspace=userspace)))
