"""From a configuration in one mode to the same behaviour in another."""

from typing import Final

from kproxy.config import KubeProxyConfiguration
from kproxy.config.defaults import mode_settings
from kproxy.switch.configuration_edit import Edits, Value

MODES: Final = ("nftables", "ipvs", "iptables")


def edits_for(configuration: KubeProxyConfiguration, mode: str, *, strict_arp: bool) -> Edits:
    """The fields to set, so that the new mode does what the old one did.

    Args:
        configuration: the effective one
        mode: the new one
        strict_arp: whether IPVS mode is to leave ARP for load balancer addresses to others (MetalLB)
    """
    edits: dict[tuple[str, ...], Value] = {("mode",): mode}
    before = mode_settings(configuration)
    # iptables, ipvs and userspace modes share their masquerade settings; nftables mode has its own.
    section = "nftables" if mode == "nftables" else "iptables"
    present = configuration.nftables if mode == "nftables" else configuration.iptables
    if configuration.mode != mode and ("nftables" in (mode, configuration.mode)):
        if before.masquerade_all != present.masquerade_all:
            edits[section, "masqueradeAll"] = before.masquerade_all
        if before.masquerade_bit != present.masquerade_bit:
            edits[section, "masqueradeBit"] = before.masquerade_bit
    if mode == "ipvs" and strict_arp and not configuration.ipvs.strict_arp:
        edits["ipvs", "strictARP"] = True
    return edits


def differences(configuration: KubeProxyConfiguration, mode: str) -> list[str]:
    """What works otherwise in the new mode, whatever the settings."""
    found = []
    before = configuration.mode
    if mode == "nftables" and before != "nftables":
        if not configuration.node_port_addresses:
            found.append("NodePorts will answer on the node's primary addresses only (nodePortAddresses: primary)")
        if before == "iptables" and configuration.iptables.localhost_node_ports:
            found.append("NodePorts will not answer on 127.0.0.1 any more (localhostNodePorts is iptables mode's)")
    if mode == "ipvs" and before != "ipvs":
        found.append(
            "Services' addresses will be on the interface kube-ipvs0: host firewalls see their traffic in INPUT"
        )
    if before == "ipvs" and mode != "ipvs" and configuration.ipvs.scheduler not in ("", "rr"):
        found.append(f"connections will be spread at random, not by the IPVS scheduler {configuration.ipvs.scheduler}")
    return found
