"""What the configuration says about the rules of iptables mode."""

import re

import msgspec

from kproxy.services.addresses import Address, Family
from kproxy.services.local_traffic import LocalTraffic

LARGE_CLUSTER_ENDPOINTS = 1000
"""Above this many endpoints, rules of single Services carry no comments: they would be 40 % of all text."""

_INTERFACE = re.compile(r"[^\s/!+\"'\\\x00-\x20]{1,15}", re.ASCII)


class RuleOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How one family's rules are written."""

    family: Family
    masquerade_all: bool = False
    masquerade_mark: int = 1 << 14
    local_traffic: LocalTraffic = LocalTraffic()
    localhost_node_ports: bool = False
    """NodePorts answer on 127.0.0.1; needs `route_localnet`, so IPv4 only."""
    drop_invalid: bool = True
    """Drop packets that conntrack cannot place, unless `conntrack.tcpBeLiberal`."""
    accounting: bool = False
    """Count with nfacct; the kernel has its objects."""
    every_node_address: bool = True
    """NodePorts answer on all of the node's addresses; else on those of `node_port_addresses`."""
    node_port_addresses: frozenset[Address] = frozenset()
    node_ip: Address | None = None
    """This node's address, for source ranges that include it."""
    comments: bool = True
    """In the chains of single Services."""


def check_interface(name: str) -> str:
    """Return an interface's name, or the beginning of one, if it can stand in a rule.

    Raises:
        ValueError: no interface can have this name (linux/if.h: 15 bytes, no white space, no slash)
    """
    if not _INTERFACE.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a network interface")
    return name
