"""`kproxy run`: the proxy, with options for people."""

from pathlib import Path
from typing import Annotated

import typer

ALL_ADDRESSES = "0.0.0.0/0,::/0"


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
    """
    from kproxy.cli.serve import serve
    from kproxy.config import ConfigError, parse_command_line

    if manifests is not None and not node_port_addresses:
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
    arguments += [f"--v={verbosity}", f"--takeover={str(takeover).lower()}"]
    try:
        command = parse_command_line(arguments)
    except ConfigError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(serve(command, arguments, manifests))
