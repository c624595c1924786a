"""`kproxy switch`: change the proxy mode, verified and taken back if it fails."""

from pathlib import Path
from typing import Annotated

import typer

from kproxy.cli.options import (
    Output,
    one_line,
)
from kproxy.inspect.output import ExitStatus, Format, InspectionError, complain

EXAMPLES = """
Examples:

  kproxy switch --to nftables --node --dry-run        # the plan, and whether it can work here

  kproxy switch --to nftables --node                  # this node, its configuration file

  kproxy switch --to ipvs --cluster --strict-arp      # the ConfigMap, and the DaemonSet node by node

  kproxy switch --to ipvs --cluster --no-load-modules # where nodes have the modules, or get them otherwise

  kproxy switch --to ipvs --cluster --abort           # take an interrupted switch back
"""


def switch(
    to: Annotated[str, typer.Option("--to", help="nftables, ipvs or iptables.")],
    node: Annotated[bool, typer.Option("--node", help="Switch this node, by its configuration file.")] = False,
    cluster: Annotated[bool, typer.Option("--cluster", help="Switch the DaemonSet, by its ConfigMap.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing.")] = False,
    abort: Annotated[bool, typer.Option("--abort", help="Take an unfinished switch back.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: Annotated[Path, typer.Option(help="With --node: the proxy's configuration file.")] = Path(
        "/var/lib/kube-proxy/config.conf"
    ),
    manifests: Annotated[
        Path | None, typer.Option(help="With --node: the folder that the proxy reads instead of an API server.")
    ] = None,
    restart_command: Annotated[
        str,
        typer.Option(
            help="With --node: how the proxy is restarted.  [default: its systemd unit, else it reads its changed file]"
        ),
    ] = "",
    kubeconfig: Annotated[Path | None, typer.Option(help="How to reach the API server.")] = None,
    namespace: Annotated[str, typer.Option(help="With --cluster: where the proxy is.")] = "kube-system",
    config_map: Annotated[str, typer.Option(help="With --cluster: its ConfigMap.")] = "kube-proxy",
    daemon_set: Annotated[str, typer.Option(help="With --cluster: its DaemonSet.")] = "kube-proxy",
    strict_arp: Annotated[
        bool, typer.Option("--strict-arp", help="In IPVS mode, leave ARP for load balancers' addresses to MetalLB.")
    ] = False,
    load_modules: Annotated[
        bool,
        typer.Option(help="With --cluster: load IPVS mode's kernel modules by a privileged Pod on each node."),
    ] = True,
    module_image: Annotated[
        str, typer.Option(help="With --cluster: the image of those Pods, with sh and modprobe.  [default: the proxy's]")
    ] = "",
    patience: Annotated[float, typer.Option(help="Seconds that a node has to serve in the new mode.", min=1)] = 60.0,
    output: Output = Format.TABLE,
) -> None:
    """Change the proxy mode of this node or of a cluster: kproxy's or the stock kube-proxy's.

    What the mode needs is tried first, and the plan shown. The configuration is edited in place with a backup; the old
    mode's rules go once the new mode's have been seen to serve; what fails is taken back; an interrupted switch goes on
    when it is called again. The exit status is 0 when the mode is as wanted, 1 when it is not, 2 if nothing could be
    found out.
    """
    import asyncio
    import shlex
    import sys

    from kproxy.inspect.desired import Where
    from kproxy.switch.cluster import ClusterOptions
    from kproxy.switch.cluster_objects import Place
    from kproxy.switch.command import Asked, switch_cluster, switch_node
    from kproxy.switch.node import NodeOptions
    from kproxy.switch.plan import SwitchError
    from kproxy.switch.target import MODES

    def fail(message: str) -> typer.Exit:
        complain(f"kproxy switch: {message}")
        return typer.Exit(ExitStatus.FAILED)

    if to not in MODES:
        raise fail(f"--to {to}: must be one of {', '.join(MODES)}")
    if node == cluster:
        raise fail("give either --node or --cluster")

    def confirm() -> bool:
        if yes:
            return True
        return sys.stdin.isatty() and typer.confirm("Do it?")

    asked = Asked(dry_run, abort, output, confirm)
    with one_line("switch"):
        try:
            if cluster:
                place = Place(namespace, config_map, daemon_set)
                options = ClusterOptions(to, place, strict_arp, patience, load_modules, module_image)
                status = asyncio.run(switch_cluster(kubeconfig, options, asked))
            else:
                where = Where(config=config, kubeconfig=kubeconfig, manifests=manifests)
                command = tuple(shlex.split(restart_command))
                of_node = NodeOptions(config, to, where, command, strict_arp, patience)
                status = asyncio.run(switch_node(of_node, asked))
        except (SwitchError, ValueError) as error:
            raise InspectionError(" ".join(str(error).split())) from error
    raise typer.Exit(status)
