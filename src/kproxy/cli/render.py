"""`kproxy render`: what would be programmed, without touching anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from kproxy.services.addresses import Address, Family
    from kproxy.services.local_traffic import LocalTraffic
    from kproxy.services.tracker import ServiceTracker


def render(
    manifests: Annotated[
        Path,
        typer.Option(exists=True, file_okay=False, help="A folder with Services and EndpointSlices in YAML files."),
    ],
    mode: Annotated[str, typer.Option(help="The mode whose rules to print: nftables, iptables or ipvs.")] = "nftables",
    node_name: Annotated[str, typer.Option(help="The node to render for: decides which endpoints are local.")] = "",
    cluster_cidr: Annotated[str, typer.Option(help="The pods' networks, one for each IP family.")] = "",
    masquerade_all: Annotated[bool, typer.Option(help="Masquerade everything sent to cluster IPs.")] = False,
    node_port_addresses: Annotated[
        str,
        typer.Option(
            help="The node's addresses on which NodePorts answer, separated by commas; none: everywhere in "
            "iptables mode, and nowhere in the others, whose rules name each address."
        ),
    ] = "",
) -> None:
    """Print the rules that would be programmed for the manifests in a folder; needs no privileges.

    In nftables mode, as nft list table prints them; in the others, as iptables-restore, ipvsadm, ip and ipset read
    them.

    [bold]Examples[/bold]

      kproxy render --manifests ./services --mode nftables

      kproxy render --manifests ./services --mode iptables --node-name worker-1 --cluster-cidr 10.244.0.0/16
    """
    from kproxy.services.addresses import Family, parse_address
    from kproxy.services.local_traffic import LocalTraffic, by_network

    if mode not in _LINES:
        typer.echo(f"--mode {mode}: only {', '.join(_LINES)} can be rendered", err=True)
        raise typer.Exit(2)
    listed = [(text.strip(), parse_address(text.strip())) for text in node_port_addresses.split(",") if text.strip()]
    addresses = {address for _, address in listed if address is not None}
    for text, address in listed:
        if address is None:
            typer.echo(f"--node-port-addresses: {text} is not an IP address", err=True)
            raise typer.Exit(2)
    tracker, failed = _read(manifests, node_name)
    local = by_network(cluster_cidr.split(","))
    for family in Family:
        mine = {address for address in addresses if len(address) == family.length}
        for line in _LINES[mode](tracker, family, local.get(family, LocalTraffic()), masquerade_all, mine):
            typer.echo(line)
    raise typer.Exit(1 if failed else 0)


def _read(folder: Path, node_name: str) -> tuple[ServiceTracker, bool]:
    """What the manifests say, and whether something of it had to be left out, which is printed."""
    from kproxy.services.specification import Problem
    from kproxy.services.tracker import ServiceTracker
    from kproxy.sources.manifest_files import SUFFIXES, parse_manifest

    failed = False

    def report(problem: Problem | str) -> None:
        nonlocal failed
        failed = True
        typer.echo(f"left out: {problem}", err=True)

    tracker = ServiceTracker(node_name, on_problem=report)
    for path in sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES):
        found = parse_manifest(path, path.read_text(encoding="utf-8"))
        for flaw in found.problems:
            report(f"{path}:{flaw.line}: {flaw.reason}")
        for obj in found.objects.values():
            tracker.upsert(obj)
    return tracker, failed


def _nftables(
    tracker: ServiceTracker, family: Family, local: LocalTraffic, masquerade_all: bool, node_ports: set[Address]
) -> Iterator[str]:
    from kproxy.backends.nftables.delta import Delta
    from kproxy.backends.nftables.desired import DesiredTable
    from kproxy.backends.nftables.render import render as render_table
    from kproxy.backends.nftables.ruleset import RulesetOptions

    table = DesiredTable(family)
    for name in tracker.names():
        table.put(name, tracker.ports(name, family), None)
    table.put_node_port_ips(node_ports, Delta())
    yield from render_table(table, RulesetOptions(local, masquerade_all))


def _iptables(
    tracker: ServiceTracker, family: Family, local: LocalTraffic, masquerade_all: bool, node_ports: set[Address]
) -> Iterator[str]:
    import msgspec

    from kproxy.backends.iptables.backend import IptablesOptions, rule_options
    from kproxy.backends.iptables.render import render as render_rules
    from kproxy.backends.iptables.tool import COMMANDS

    configured = IptablesOptions(masquerade_all=masquerade_all, primary_node_ports=bool(node_ports))
    options = msgspec.structs.replace(
        rule_options(family, configured, counted=True),
        local_traffic=local,
        node_port_addresses=frozenset(node_ports),
    )
    yield f"# {COMMANDS[family]}-restore --noflush"
    yield from render_rules(tracker, options).splitlines()


def _ipvs(
    tracker: ServiceTracker, family: Family, local: LocalTraffic, masquerade_all: bool, node_ports: set[Address]
) -> Iterator[str]:
    from kproxy.backends.ipvs.options import IpvsOptions
    from kproxy.backends.ipvs.render import render as render_state

    yield from render_state(tracker, family, IpvsOptions(masquerade_all=masquerade_all), local, node_ports)


_LINES = {"nftables": _nftables, "iptables": _iptables, "ipvs": _ipvs}
