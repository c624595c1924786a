"""The rules of our table: a constant number, whatever the number of Services.

A packet's way: `nat-prerouting` or `nat-output`, `services`, a lookup of its destination that puts the
number of a balancer into the packet's priority, the balancer's chain (see `balancers`), which draws the
number of a slot, and a lookup of destination and slot that gives the endpoint. The priority is a scratch
register: only connections to Service addresses have it changed, for their first packet alone, and it is
cleared again. A verdict map with an element per Service would do without, but the kernel walks every element
of every verdict map when one changes (nft_table_validate), so that a change would cost what the cluster
weighs; maps of plain data cost what the change weighs.
"""

import enum
from typing import NamedTuple

import msgspec

from kproxy.backends.nftables.sets import SetName, StickyTimeout
from kproxy.backends.nftables.statements import (
    CLEAR_PRIORITY,
    CT_DNAT,
    CT_NEW,
    DPORT,
    DROP,
    FIRST_SLOT,
    L4PROTO,
    MASQUERADE,
    PRIORITY,
    SOURCE_IS_LOCAL,
    Key,
    Statement,
    clear_mark,
    daddr,
    dnat_to,
    forget,
    goto,
    in_set,
    input_interface,
    jump,
    mark_has,
    not_in_set,
    reject,
    remember,
    saddr,
    set_mark,
    set_priority,
    source_in,
    verdict_map,
)
from kproxy.kernel.nftnl.protocol import (
    HOOK_FORWARD,
    HOOK_INPUT,
    HOOK_OUTPUT,
    HOOK_POSTROUTING,
    HOOK_PREROUTING,
    Hook,
)
from kproxy.services.addresses import Family
from kproxy.services.local_traffic import LocalTraffic

TABLE = "kube-proxy"
"""The name that other programs know (KEP-3866)."""


class Scope(enum.Enum):
    """What a destination is told by: address and port, or (NodePorts) the port alone."""

    SERVICE = "service"
    NODEPORT = "nodeport"

    def key(self, family: Family) -> Key:
        return (daddr(family), L4PROTO, DPORT) if self is Scope.SERVICE else (L4PROTO, DPORT)


def from_local_pod(local: LocalTraffic, family: Family, *, inverted: bool = False) -> Statement | None:
    """A statement that matches packets of this node's own pods (or, inverted, all others); None: no way to tell."""
    if local.network is not None:
        return source_in(local.network, family, inverted=inverted)
    if local.interface:
        return input_interface(local.interface, inverted=inverted)
    if local.interface_prefix:
        return input_interface(local.interface_prefix, prefix=True, inverted=inverted)
    return None


class RulesetOptions(msgspec.Struct, frozen=True):
    """What of the configuration shapes the rules of one family."""

    local_traffic: LocalTraffic = LocalTraffic()
    masquerade_all: bool = False
    masquerade_mark: int = 1 << 14


class Rule(NamedTuple):
    statements: tuple[Statement, ...]
    comment: str = ""


class Chain(NamedTuple):
    name: str
    rules: tuple[Rule, ...]
    hook: Hook | None = None


_DSTNAT, _FILTER, _SRCNAT = -100, 0, 100
_BEFORE_DSTNAT = _DSTNAT - 10


def chains(family: Family, options: RulesetOptions) -> tuple[Chain, ...]:
    """All chains but the balancers', in an order in which each only refers to earlier ones.

    Those that remember clients are without their rules, which come and go with timeouts of session affinity.
    """
    return (
        *(Chain(f"{scope.value}-remember", ()) for scope in Scope),
        *_checks(family),
        *_balancing(family),
        *_services(family, options),
        _masquerading(family, options),
        *_base_chains(),
    )


def _rule(*statements: Statement | None, comment: str = "") -> Rule:
    return Rule(tuple(s for s in statements if s is not None), comment)


def _checks(family: Family) -> list[Chain]:
    """What the filter hooks refuse: packets that no endpoint will answer."""
    service, node_port = Scope.SERVICE.key(family), Scope.NODEPORT.key(family)
    to_cluster_ip = in_set([daddr(family)], SetName.CLUSTER_IPS)
    to_node = in_set([daddr(family)], SetName.NODEPORT_IPS)
    allowed = not_in_set((*service, saddr(family)), SetName.ALLOWED_SOURCES)
    return [
        Chain(
            "service-endpoints-check",
            (
                _rule(in_set(service, SetName.DROPPED_SERVICES), DROP),
                _rule(in_set(service, SetName.REJECTED_SERVICES), reject(family)),
            ),
        ),
        Chain(
            "nodeport-endpoints-check",
            (
                _rule(to_node, in_set(node_port, SetName.DROPPED_NODEPORTS), DROP),
                _rule(to_node, in_set(node_port, SetName.REJECTED_NODEPORTS), reject(family)),
            ),
        ),
        Chain(
            "cluster-ips-check",
            (_rule(to_cluster_ip, reject(family), comment="reject traffic to undefined ports of ClusterIPs"),),
        ),
        Chain("firewall-check", (_rule(in_set(service, SetName.FIREWALLED_SERVICES), allowed, DROP),)),
    ]


class Destinations(NamedTuple):
    """A kind of destination, and the sets that know it."""

    chain: str
    scope: Scope
    ports: SetName
    endpoints: SetName
    picks: SetName

    @property
    def sticky(self) -> SetName:
        return SetName.STICKY_SERVICES if self.scope is Scope.SERVICE else SetName.STICKY_NODEPORTS

    @property
    def affinity(self) -> SetName:
        return SetName.SERVICE_AFFINITY if self.scope is Scope.SERVICE else SetName.NODEPORT_AFFINITY


DESTINATIONS = (
    Destinations("service", Scope.SERVICE, SetName.SERVICE_PORTS, SetName.SERVICE_ENDPOINTS, SetName.SERVICE_PICKS),
    Destinations(
        "service-local",
        Scope.SERVICE,
        SetName.SERVICE_LOCAL_PORTS,
        SetName.SERVICE_LOCAL_ENDPOINTS,
        SetName.SERVICE_LOCAL_PICKS,
    ),
    Destinations("nodeport", Scope.NODEPORT, SetName.NODEPORTS, SetName.NODEPORT_ENDPOINTS, SetName.NODEPORT_PICKS),
    Destinations(
        "nodeport-local",
        Scope.NODEPORT,
        SetName.NODEPORT_LOCAL_PORTS,
        SetName.NODEPORT_LOCAL_ENDPOINTS,
        SetName.NODEPORT_LOCAL_PICKS,
    ),
)


def _balancing(family: Family) -> list[Chain]:
    """For each kind of destination, a chain that finds its balancer and then its endpoint, if it has any.

    While a transaction is being committed, a packet may see the old balancer and the new endpoints: a slot
    that is gone falls back to slot 0, which exists as long as the destination has an endpoint at all.
    """
    chains = []
    for kind in DESTINATIONS:
        key = kind.scope.key(family)
        chains += [
            _sticky(family, kind),
            Chain(
                f"{kind.chain}-balance",
                (
                    *_draw(family, kind),
                    _rule(in_set(key, kind.sticky), goto(f"{kind.chain}-sticky")),
                    _rule(dnat_to(family, (*key, PRIORITY), kind.endpoints)),
                    _rule(dnat_to(family, (*key, FIRST_SLOT), kind.endpoints)),
                ),
            ),
        ]
    return chains


def _draw(family: Family, kind: Destinations) -> tuple[Rule, ...]:
    """Have the destination's balancer draw a number."""
    return (
        _rule(CLEAR_PRIORITY),
        _rule(set_priority(kind.scope.key(family), kind.ports)),
        _rule(verdict_map([PRIORITY], SetName.BALANCERS)),
    )


def _sticky(family: Family, kind: Destinations) -> Chain:
    """Send a client to the endpoint that it had; one that is new, or whose endpoint has gone, to the drawn one.

    A sticky destination's endpoints have slots that never change while the endpoint is there, so an endpoint
    that goes takes its slot, and with it every client's affinity, along. `picks` leads from the number drawn to
    such a slot; no slot is so small a number that it could be taken for one drawn.
    """
    key = kind.scope.key(family)
    client = (saddr(family), *key)
    pick = set_priority((*key, PRIORITY), kind.picks)
    to_slot = dnat_to(family, (*key, PRIORITY), kind.endpoints)
    remember_client = jump(f"{kind.scope.value}-remember")
    return Chain(
        f"{kind.chain}-sticky",
        (
            _rule(set_priority(client, kind.affinity), comment="a client that is known"),
            _rule(pick, comment="a new client"),
            _rule(remember_client),
            _rule(to_slot),
            _rule(forget(client, PRIORITY, kind.affinity), comment="the client's endpoint has gone"),
            *_draw(family, kind),
            _rule(pick),
            _rule(remember_client),
            _rule(to_slot),
            _rule(set_priority((*key, FIRST_SLOT), kind.picks)),
            _rule(to_slot),
        ),
    )


def remembering_rule(timeout: StickyTimeout, family: Family) -> Rule:
    """Of the destinations with that timeout, remember the client's slot, from now on for so long."""
    kind = next(kind for kind in DESTINATIONS if kind.sticky is timeout.set)
    key = kind.scope.key(family)
    update = remember((saddr(family), *key), PRIORITY, kind.affinity, timeout.seconds)
    return _rule(in_set(key, timeout.name), update)


def _services(family: Family, options: RulesetOptions) -> list[Chain]:
    mark = set_mark(options.masquerade_mark)
    from_pod = from_local_pod(options.local_traffic, family)
    from_outside = from_local_pod(options.local_traffic, family, inverted=True)

    def local_policy(prefix: str) -> Chain:
        rules = [
            _rule(SOURCE_IS_LOCAL, mark, comment="masquerade traffic from this node"),
            _rule(SOURCE_IS_LOCAL, goto(f"{prefix}-balance"), comment="short-circuit traffic from this node"),
            _rule(goto(f"{prefix}-local-balance")),
        ]
        if from_pod:
            rules.insert(0, _rule(from_pod, goto(f"{prefix}-balance"), comment="short-circuit traffic from pods"))
        return Chain(f"{prefix}-local-policy", tuple(rules))

    cluster_ip_rules = [_rule(goto("service-balance"))]
    if options.masquerade_all:
        cluster_ip_rules.insert(0, _rule(mark, comment="masquerade all ClusterIP traffic"))
    elif from_outside:
        cluster_ip_rules.insert(0, _rule(from_outside, mark, comment="masquerade traffic from outside the cluster"))

    def external(prefix: str, scope: Scope, local_policy_set: SetName) -> Chain:
        is_local_policy = in_set(scope.key(family), local_policy_set)
        rules = _rule(is_local_policy, goto(f"{prefix}-local-policy")), _rule(goto(f"{prefix}-balance"))
        return Chain(f"{prefix}-external", rules)

    to = daddr(family)
    return [
        local_policy("service"),
        local_policy("nodeport"),
        Chain("cluster-ip", tuple(cluster_ip_rules)),
        external("service", Scope.SERVICE, SetName.LOCAL_POLICY_SERVICES),
        external("nodeport", Scope.NODEPORT, SetName.LOCAL_POLICY_NODEPORTS),
        Chain(
            "services",
            (
                _rule(in_set([to], SetName.CLUSTER_IPS), jump("cluster-ip")),
                _rule(in_set([to], SetName.EXTERNAL_IPS), jump("service-external")),
                _rule(in_set([to], SetName.NODEPORT_IPS), jump("nodeport-external")),
            ),
        ),
    ]


def _masquerading(family: Family, options: RulesetOptions) -> Chain:
    mark = options.masquerade_mark
    hairpin = in_set([saddr(family), daddr(family)], SetName.LOCAL_ENDPOINT_IPS)
    return Chain(
        "masquerading",
        (
            _rule(CT_DNAT, CLEAR_PRIORITY),
            _rule(mark_has(mark), clear_mark(mark), MASQUERADE),
            _rule(CT_DNAT, hairpin, MASQUERADE, comment="a pod that reaches itself through a Service"),
        ),
    )


def _base_chains() -> list[Chain]:
    def base(name: str, type_: str, number: int, priority: int, *rules: Rule) -> Chain:
        return Chain(name, rules, Hook(type_, number, priority))

    new_to_services = _rule(CT_NEW, jump("service-endpoints-check"))
    new_to_cluster_ips = _rule(CT_NEW, jump("cluster-ips-check"))
    new_to_nodeports = _rule(CT_NEW, jump("nodeport-endpoints-check"))
    new_to_firewalled = _rule(CT_NEW, jump("firewall-check"))
    return [
        base("filter-prerouting-pre-dnat", "filter", HOOK_PREROUTING, _BEFORE_DSTNAT, new_to_firewalled),
        base("filter-output-pre-dnat", "filter", HOOK_OUTPUT, _BEFORE_DSTNAT, new_to_firewalled),
        base("filter-input", "filter", HOOK_INPUT, _FILTER, new_to_nodeports, new_to_services),
        base("filter-forward", "filter", HOOK_FORWARD, _FILTER, new_to_services, new_to_cluster_ips),
        base("filter-output", "filter", HOOK_OUTPUT, _FILTER, new_to_services, new_to_cluster_ips),
        base("nat-prerouting", "nat", HOOK_PREROUTING, _DSTNAT, _rule(jump("services"))),
        base("nat-output", "nat", HOOK_OUTPUT, _DSTNAT, _rule(jump("services"))),
        base("nat-postrouting", "nat", HOOK_POSTROUTING, _SRCNAT, _rule(jump("masquerading"))),
    ]
