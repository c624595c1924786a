"""Do other programs' firewalls let pods' packets pass?"""

from collections.abc import Iterator

from kproxy.inspect.doctor.finding import Finding, Severity, shell
from kproxy.inspect.doctor.firewalls import Blocker, blockers
from kproxy.inspect.doctor.view import NodeView
from kproxy.services.addresses import Family, Network, parse_network


def pod_networks(view: NodeView) -> list[Network]:
    """The pods' networks: `clusterCIDR`, else the Nodes' podCIDRs."""
    configured = [parse_network(text) for text in view.configuration.cluster_cidr.split(",") if text.strip()]
    if configured:
        return [network for network in configured if network is not None]
    nodes = view.cluster.nodes if view.cluster and view.cluster.nodes else []
    listed = [text for node in nodes for text in node.spec.pod_cidrs or ()]
    return [network for text in listed if (network := parse_network(text)) is not None]


def forward_policy(view: NodeView) -> Iterator[Finding]:
    """A firewall drops what it does not know, and does not know pods."""
    pods = pod_networks(view)
    for blocker in blockers(pods):
        if blocker.family is Family.IPV6 and not any(len(network.address) == 16 for network in pods):
            continue  # no pods in that family
        yield Finding(
            check="forward-policy",
            severity=Severity.CRITICAL,
            subject=f"{blocker.chain} ({blocker.program})",
            evidence=(blocker.how, f"no rule before it accepts the pods' networks {_shown(pods)}, from and to"),
            cause="Packets between pods, and from outside to pods, are forwarded ones; these are dropped.",
            fixes=tuple(_fixes(blocker, [n for n in pods if len(n.address) == blocker.family.length])),
        )


def _shown(networks: list[Network]) -> str:
    return ", ".join(map(str, networks)) or "(unknown: set clusterCIDR)"


def _fixes(blocker: Blocker, pods: list[Network]) -> Iterator[str]:
    if not pods and blocker.variant is not None:
        yield shell(_iptables(blocker), "-P", "FORWARD", "ACCEPT")
    for network in map(str, pods):
        if blocker.program == "firewalld":
            yield shell("firewall-cmd", "--permanent", "--zone=trusted", f"--add-source={network}")
        elif blocker.program == "ufw":
            yield shell("ufw", "route", "allow", "from", network)
            yield shell("ufw", "route", "allow", "to", network)
        elif blocker.variant is None:
            for side in ("saddr", "daddr"):
                header = "ip" if blocker.family is Family.IPV4 else "ip6"
                yield shell("nft", "insert", "rule", *blocker.place, header, side, network, "accept")
        else:
            # Docker rewrites FORWARD, and leaves DOCKER-USER to others.
            chain = "DOCKER-USER" if blocker.program == "docker" else "FORWARD"
            for side in ("-s", "-d"):
                yield shell(_iptables(blocker), "-I", chain, side, network, "-j", "ACCEPT")
    if blocker.program == "firewalld" and pods:
        yield shell("firewall-cmd", "--reload")


def _iptables(blocker: Blocker) -> str:
    variant = blocker.variant.value if blocker.variant else ""
    return ("iptables" if blocker.family is Family.IPV4 else "ip6tables") + f"-{variant}"
