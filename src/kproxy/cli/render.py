"""`kproxy render`: what would be programmed, without touching anything."""

from pathlib import Path
from typing import Annotated

import typer


def render(
    manifests: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="A folder with Services and EndpointSlices in YAML files."),
    ],
    mode: Annotated[str, typer.Option(help="The mode whose rules to print: nftables.")] = "nftables",
    node_name: Annotated[str, typer.Option(help="The node to render for: decides which endpoints are local.")] = "",
    cluster_cidr: Annotated[str, typer.Option(help="The pods' networks, one for each IP family.")] = "",
    masquerade_all: Annotated[bool, typer.Option(help="Masquerade everything sent to cluster IPs.")] = False,
    node_port_addresses: Annotated[
        str, typer.Option(help="The node's addresses on which NodePorts answer, separated by commas.")
    ] = "",
) -> None:
    """Print the rules that would be programmed for the manifests in a folder; needs no privileges.

    [bold]Examples[/bold]

      kproxy render --manifests ./services --mode nftables

      kproxy render --manifests ./services --node-name worker-1 --cluster-cidr 10.244.0.0/16
    """
    from kproxy.backends.nftables.delta import Delta
    from kproxy.backends.nftables.desired import DesiredTable
    from kproxy.backends.nftables.render import render as render_table
    from kproxy.backends.nftables.ruleset import RulesetOptions
    from kproxy.services.addresses import Family, parse_address
    from kproxy.services.local_traffic import LocalTraffic, by_network
    from kproxy.services.specification import Problem
    from kproxy.services.tracker import ServiceTracker
    from kproxy.sources.manifest_files import SUFFIXES, parse_manifest

    if mode != "nftables":
        typer.echo(f"--mode {mode}: only nftables can be rendered", err=True)
        raise typer.Exit(2)
    addresses = [parse_address(text.strip()) for text in node_port_addresses.split(",") if text.strip()]
    if None in addresses:
        typer.echo(f"--node-port-addresses {node_port_addresses}: not all of them are IP addresses", err=True)
        raise typer.Exit(2)
    failed = False

    def report(problem: Problem | str) -> None:
        nonlocal failed
        failed = True
        typer.echo(f"left out: {problem}", err=True)

    tracker = ServiceTracker(node_name, on_problem=report)
    for path in sorted(path for path in manifests.rglob("*") if path.suffix in SUFFIXES):
        found = parse_manifest(path, path.read_text(encoding="utf-8"))
        for flaw in found.problems:
            report(f"{path}:{flaw.line}: {flaw.reason}")
        for obj in found.objects.values():
            tracker.upsert(obj)
    local = by_network(cluster_cidr.split(","))
    for family in Family:
        options = RulesetOptions(local.get(family, LocalTraffic()), masquerade_all)
        table = DesiredTable(family)
        for name in tracker.names():
            table.put(name, tracker.ports(name, family), None)
        table.put_node_port_ips({a for a in addresses if a and len(a) == family.length}, Delta())
        for line in render_table(table, options):
            typer.echo(line)
    raise typer.Exit(1 if failed else 0)
