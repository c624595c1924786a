"""From the configuration to the backend of its mode."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from kproxy.backends.interface import Backend
from kproxy.config import KubeProxyConfiguration
from kproxy.config.addresses import parse_port_range
from kproxy.config.defaults import DEFAULT_IPVS_SCHEDULER, NODE_PORTS_PRIMARY, mode_settings
from kproxy.kernel.interface_addresses import ip_families
from kproxy.services.addresses import Address, Family, Network, parse_network
from kproxy.services.local_traffic import LocalTraffic, by_network
from kproxy.services.objects import Node

if TYPE_CHECKING:
    from kproxy.backends.iptables.backend import IptablesOptions
    from kproxy.backends.ipvs.options import IpvsOptions
    from kproxy.backends.userspace.local_services import LocalService


def make_backend(
    configuration: KubeProxyConfiguration, *, userspace: Callable[[KubeProxyConfiguration], Backend] | None = None
) -> Backend:
    """Open the backend of the configured mode.

    Args:
        configuration: says which mode, and its settings
        userspace: what opens that of userspace mode, where it is to have more than a configuration says

    Raises:
        BackendError: the mode is not available, and why
    """
    match configuration.mode:
        case "nftables":
            return _nftables(configuration)
        case "iptables":
            return _iptables(configuration)
        case "ipvs":
            return _ipvs(configuration)
        case "userspace":
            return (userspace or userspace_backend)(configuration)


def _nftables(configuration: KubeProxyConfiguration) -> Backend:
    from kproxy.backends.nftables.backend import NftablesBackend
    from kproxy.backends.nftables.ruleset import RulesetOptions

    settings = mode_settings(configuration)
    options = RulesetOptions(masquerade_all=settings.masquerade_all, masquerade_mark=1 << settings.masquerade_bit)
    return NftablesBackend(ip_families(), options)


def _iptables(configuration: KubeProxyConfiguration) -> Backend:
    from kproxy.backends.iptables.backend import IptablesBackend

    return IptablesBackend(ip_families(), iptables_options(configuration))


def iptables_options(configuration: KubeProxyConfiguration) -> "IptablesOptions":
    """What a configuration says about the rules of iptables mode."""
    from kproxy.backends.iptables.backend import IptablesOptions

    settings = mode_settings(configuration)
    listed = configuration.node_port_addresses or ()
    return IptablesOptions(
        masquerade_all=settings.masquerade_all,
        masquerade_mark=1 << settings.masquerade_bit,
        localhost_node_ports=configuration.iptables.localhost_node_ports,
        drop_invalid=not configuration.conntrack.tcp_be_liberal,
        node_port_networks=tuple(network for text in listed if (network := parse_network(text)) is not None),
        primary_node_ports=NODE_PORTS_PRIMARY in listed,
        audit_seconds=settings.sync_period.seconds,
    )


def _ipvs(configuration: KubeProxyConfiguration) -> Backend:
    from kproxy.backends.ipvs.backend import IpvsBackend

    return IpvsBackend(ip_families(), ipvs_options(configuration))


def ipvs_options(configuration: KubeProxyConfiguration) -> "IpvsOptions":
    """What a configuration says about IPVS mode."""
    from kproxy.backends.ipvs.options import IpvsOptions
    from kproxy.kernel.ipvs.socket import Timeouts

    ipvs, settings = configuration.ipvs, mode_settings(configuration)
    timeouts = (ipvs.tcp_timeout, ipvs.tcp_fin_timeout, ipvs.udp_timeout)
    return IpvsOptions(
        scheduler=ipvs.scheduler or DEFAULT_IPVS_SCHEDULER,
        excluded=excluded_networks(configuration),
        strict_arp=ipvs.strict_arp,
        timeouts=Timeouts(*(int(timeout.seconds) for timeout in timeouts)),
        masquerade_all=settings.masquerade_all,
        masquerade_mark=1 << settings.masquerade_bit,
        audit_seconds=settings.sync_period.seconds,
    )


def userspace_backend(
    configuration: KubeProxyConfiguration,
    *,
    redirect: str = "auto",
    bind: Sequence[Address] = (),
    workers: int = 1,
    on_local_services: "Callable[[list[LocalService]], None]" = lambda services: None,
) -> Backend:
    """Open the backend of userspace mode, with what kube-proxy's configuration has no fields for.

    Args:
        configuration: the rest
        redirect: what brings traffic to the proxy: `auto`, `nftables`, `iptables` or `none`
        bind: without redirection, the addresses to bind, at most one of each family
        workers: processes that share all connections
        on_local_services: told of the local ports, without redirection, whenever they change

    Raises:
        BackendError: redirection is not possible here
    """
    from kproxy.backends.userspace.backend import UserspaceBackend
    from kproxy.backends.userspace.options import Limits, PortRange, Redirect, UserspaceOptions

    settings, allowed = mode_settings(configuration), parse_port_range(configuration.port_range)
    options = UserspaceOptions(
        redirect=Redirect(redirect),
        bind=tuple(bind),
        workers=workers,
        port_range=PortRange(allowed.first, allowed.last),
        # As in iptables mode, NodePorts answer on 127.0.0.1 where no addresses are given for them.
        localhost_node_ports=configuration.iptables.localhost_node_ports and not configuration.node_port_addresses,
        masquerade_all=settings.masquerade_all,
        masquerade_mark=1 << settings.masquerade_bit,
        limits=Limits(udp_idle_seconds=configuration.udp_idle_timeout.seconds),
    )
    return UserspaceBackend(ip_families(), options, on_local_services=on_local_services)


def excluded_networks(configuration: KubeProxyConfiguration) -> tuple[Network, ...]:
    """Where virtual servers are not ours (`ipvs.excludeCIDRs`)."""
    listed = configuration.ipvs.exclude_cidrs or ()
    return tuple(network for text in listed if (network := parse_network(text)) is not None)


def table_name(family: Family) -> str:
    """Of nftables mode's table, in words."""
    from kproxy.backends.nftables.ruleset import TABLE
    from kproxy.backends.nftables.statements import IP

    return f"table {IP[family]} {TABLE}"


async def clean_up(configuration: KubeProxyConfiguration) -> list[str]:
    """Remove what any mode has programmed; returns what was removed, in words.

    Args:
        configuration: tells what IPVS mode must not touch (`ipvs.excludeCIDRs`)

    Raises:
        BackendError: the kernel refuses it
    """
    from kproxy.backends.iptables import cleanup as iptables
    from kproxy.backends.ipvs import cleanup as ipvs
    from kproxy.backends.nftables import backend as nftables

    tables = [table_name(family) for family in nftables.cleanup()]
    return [*tables, *await iptables.cleanup(), *await ipvs.cleanup(excluded_networks(configuration))]


def local_traffic(configuration: KubeProxyConfiguration, node: Node | None) -> Mapping[Family, LocalTraffic] | None:
    """How local pods' packets are recognised; None while the node has no podCIDRs and its mode needs them."""
    detect = configuration.detect_local
    match configuration.detect_local_mode:
        case "BridgeInterface":
            return dict.fromkeys(Family, LocalTraffic(interface=detect.bridge_interface))
        case "InterfaceNamePrefix":
            return dict.fromkeys(Family, LocalTraffic(interface_prefix=detect.interface_name_prefix))
        case "NodeCIDR":
            spec = node.spec if node else None
            cidrs = spec.pod_cidrs or [spec.pod_cidr] if spec else []
            return by_network(cidrs) or None
        case "ClusterCIDR":
            return by_network(configuration.cluster_cidr.split(","))
