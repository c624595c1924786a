"""The rules that every node has, whatever its Services: how packets get into our chains, and what marks mean."""

from typing import NamedTuple

from kproxy.backends.iptables.accounting import INVALID_DROPPED
from kproxy.backends.iptables.compile import FILTER, MANGLE, NAT
from kproxy.backends.iptables.matches import comment, host
from kproxy.backends.iptables.names import (
    CANARY,
    EXTERNAL_SERVICES,
    FIREWALL,
    FORWARD,
    MARK_MASQ,
    NODEPORTS,
    POSTROUTING,
    PROXY_FIREWALL,
    SERVICES,
)
from kproxy.backends.iptables.options import RuleOptions
from kproxy.services.addresses import Family

TABLES = (MANGLE, FILTER, NAT)

_NEW = "-m conntrack --ctstate NEW "
_PORTALS = comment("kubernetes service portals")
_OUTSIDE_PORTALS = comment("kubernetes externally-visible service portals")
_LOAD_BALANCER_FIREWALL = comment("kubernetes load balancer firewall")


class Jump(NamedTuple):
    """A rule in a chain of the kernel's that leads into one of ours."""

    table: str
    source: str
    rule: str
    target: str

    @property
    def line(self) -> str:
        return f"-A {self.source} {self.rule}-j {self.target}"


JUMPS = (
    Jump(FILTER, "INPUT", "", FIREWALL),
    Jump(FILTER, "INPUT", f"{_NEW}{_LOAD_BALANCER_FIREWALL} ", PROXY_FIREWALL),
    Jump(FILTER, "INPUT", f"{comment('kubernetes health check service ports')} ", NODEPORTS),
    Jump(FILTER, "INPUT", f"{_NEW}{_OUTSIDE_PORTALS} ", EXTERNAL_SERVICES),
    Jump(FILTER, "FORWARD", f"{_NEW}{_LOAD_BALANCER_FIREWALL} ", PROXY_FIREWALL),
    Jump(FILTER, "FORWARD", f"{comment('kubernetes forwarding rules')} ", FORWARD),
    Jump(FILTER, "FORWARD", f"{_NEW}{_PORTALS} ", SERVICES),
    Jump(FILTER, "FORWARD", f"{_NEW}{_OUTSIDE_PORTALS} ", EXTERNAL_SERVICES),
    Jump(FILTER, "OUTPUT", "", FIREWALL),
    Jump(FILTER, "OUTPUT", f"{_NEW}{_LOAD_BALANCER_FIREWALL} ", PROXY_FIREWALL),
    Jump(FILTER, "OUTPUT", f"{_NEW}{_PORTALS} ", SERVICES),
    Jump(NAT, "PREROUTING", f"{_PORTALS} ", SERVICES),
    Jump(NAT, "OUTPUT", f"{_PORTALS} ", SERVICES),
    Jump(NAT, "POSTROUTING", f"{comment('kubernetes postrouting rules')} ", POSTROUTING),
)
"""All jumps, in each source chain's order."""

SHARED_CHAINS = {NAT: (SERVICES, NODEPORTS), FILTER: (SERVICES, EXTERNAL_SERVICES, PROXY_FIREWALL, NODEPORTS)}


def chain_names() -> dict[str, set[str]]:
    """The names of all chains that do not belong to a single Service, by table."""
    names = {table: set(chains) for table, chains in SHARED_CHAINS.items()}
    for table, chain in fixed_chains(RuleOptions(family=Family.IPV4, localhost_node_ports=True)):
        names.setdefault(table, set()).add(chain)
    return names


def jumps(options: RuleOptions) -> list[Jump]:
    """The jumps that these options need."""
    return [jump for jump in JUMPS if jump.target != FIREWALL or options.localhost_node_ports]


def fixed_chains(options: RuleOptions) -> dict[tuple[str, str], list[str]]:
    """The chains whose rules do not depend on Services: table and name to rule lines."""
    mark = f"{options.masquerade_mark:#x}"
    invalid = "-m conntrack --ctstate INVALID "
    if options.accounting:
        # Two spaces: libxt_nfacct prints them, and what is read back is compared.
        invalid += f"-m nfacct --nfacct-name  {INVALID_DROPPED} "
    forward = [
        f"{comment('kubernetes forwarding rules')} -m mark --mark {mark}/{mark} -j ACCEPT",
        # What conntrack knows was let through when it began.
        f"{comment('kubernetes forwarding conntrack rule')} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    ]
    if options.drop_invalid:
        # A reply that conntrack does not recognise would leave un-NATed, and the client reset the connection.
        forward.insert(0, f"{invalid}-j DROP")
    chains = {
        (MANGLE, CANARY): [],
        (FILTER, CANARY): [],
        (NAT, CANARY): [],
        (FILTER, FORWARD): forward,
        (NAT, MARK_MASQ): [f"-j MARK --set-xmark {mark}/{mark}"],
        (NAT, POSTROUTING): [
            f"-m mark ! --mark {mark}/{mark} -j RETURN",
            # Take the mark off, so that a packet that passes here again is not masqueraded twice.
            f"-j MARK --set-xmark {mark}/0x0",
            f"{comment('kubernetes service traffic requiring SNAT')} -j MASQUERADE --random-fully",
        ],
    }
    if options.localhost_node_ports:
        # route_localnet would let neighbours reach what listens on 127.0.0.1 (CVE-2020-8558).
        words = comment("block incoming localnet connections")
        chains[FILTER, FIREWALL] = [
            f"! -s 127.0.0.0/8 -d 127.0.0.0/8 {words} -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP"
        ]
    return {(table, chain): [f"-A {chain} {rule}" for rule in rules] for (table, chain), rules in chains.items()}


def to_node_ports(options: RuleOptions) -> list[str]:
    """The rules that end KUBE-SERVICES: what is destined for the node itself may be for a NodePort."""
    words = comment("kubernetes service nodeports; NOTE: this must be the last rule in this chain")
    if options.every_node_address:
        to_local = f"{words} -m addrtype --dst-type LOCAL"
        if options.family is Family.IPV6:
            to_local = f"! -d ::1/128 {to_local}"
        elif not options.localhost_node_ports:
            to_local = f"! -d 127.0.0.0/8 {to_local}"
        return [f"-A {SERVICES} {to_local} -j {NODEPORTS}"]
    return [
        f"-A {SERVICES} -d {host(address)} {words} -j {NODEPORTS}" for address in sorted(options.node_port_addresses)
    ]
