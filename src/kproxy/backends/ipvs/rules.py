"""The fixed iptables rules of the mode: what differs from Service to Service is in sets that they look into.

They are spelt and ordered as iptables-save prints them, so that what is read back can be compared.
"""

from typing import TypeAlias

from kproxy.backends.iptables.matches import comment, from_pods, rejection
from kproxy.backends.ipvs.sets import SetName, set_name
from kproxy.services.addresses import Family
from kproxy.services.local_traffic import LocalTraffic

NAT, FILTER = "nat", "filter"
Chains: TypeAlias = dict[str, list[str]]
"""Each chain's rules, without `-A` and the chain."""

_SERVICES, _NODE_PORT, _LOAD_BALANCER = "KUBE-SERVICES", "KUBE-NODE-PORT", "KUBE-LOAD-BALANCER"
_MARK_MASQ, _POSTROUTING, _FORWARD = "KUBE-MARK-MASQ", "KUBE-POSTROUTING", "KUBE-FORWARD"
_FIREWALL, _SOURCE_RANGES = "KUBE-PROXY-FIREWALL", "KUBE-SOURCE-RANGES-FIREWALL"
_INPUT_FILTER, _OUTPUT_FILTER = "KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER"

JUMPS: dict[str, tuple[tuple[str, str], ...]] = {
    NAT: (
        ("PREROUTING", f"{comment('kubernetes service portals')} -j {_SERVICES}"),
        ("OUTPUT", f"{comment('kubernetes service portals')} -j {_SERVICES}"),
        ("POSTROUTING", f"{comment('kubernetes postrouting rules')} -j {_POSTROUTING}"),
    ),
    FILTER: (
        ("INPUT", f"{comment('kubernetes ipvs access filter')} -j {_INPUT_FILTER}"),
        ("INPUT", f"{comment('kube-proxy firewall rules')} -j {_FIREWALL}"),
        ("INPUT", f"{comment('kubernetes health check rules')} -j {_NODE_PORT}"),
        ("FORWARD", f"{comment('kube-proxy firewall rules')} -j {_FIREWALL}"),
        ("FORWARD", f"{comment('kubernetes forwarding rules')} -j {_FORWARD}"),
        ("OUTPUT", f"{comment('kubernetes ipvs access filter')} -j {_OUTPUT_FILTER}"),
    ),
}
"""The rules in built-in chains that lead to ours, those of one chain in their order."""


class FixedRules:
    """One family's rules."""

    def __init__(
        self, family: Family, *, masquerade_mark: int, masquerade_all: bool, local_traffic: LocalTraffic
    ) -> None:
        """Choose.

        Args:
            family: whose rules
            masquerade_mark: the bit of the packet mark that asks for source NAT
            masquerade_all: whether all traffic to cluster IPs gets it
            local_traffic: how packets from local pods are recognised
        """
        self._family, self._mark = family, f"{masquerade_mark:#x}"
        self._masquerade_all, self._local = masquerade_all, local_traffic

    def tables(self) -> dict[str, Chains]:
        """All chains of ours, by table.

        Raises:
            ValueError: the interface that pods are recognised by cannot be one
        """
        return {NAT: self._nat(), FILTER: self._filter()}

    def _in(self, name: SetName, directions: str = "dst,dst") -> str:
        return f"-m set --match-set {set_name(name, self._family)} {directions}"

    # ------------------------------------------------------------------ nat

    def _nat(self) -> Chains:
        return {
            _SERVICES: self._services(),
            _LOAD_BALANCER: [
                _rule(
                    "Kubernetes service load balancer ip + port with externalTrafficPolicy=local",
                    self._in(SetName.LOAD_BALANCER_LOCAL),
                    "RETURN",
                ),
                f"-j {_MARK_MASQ}",
            ],
            _NODE_PORT: self._node_ports(),
            _MARK_MASQ: [f"-j MARK --set-xmark {self._mark}/{self._mark}"],
            _POSTROUTING: [
                _rule(
                    "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose",
                    self._in(SetName.LOOP_BACK, "dst,dst,src"),
                    "MASQUERADE",
                ),
                f"-m mark ! --mark {self._mark}/{self._mark} -j RETURN",
                f"-j MARK --set-xmark {self._mark}/0x0",
                f"{comment('kubernetes service traffic requiring SNAT')} -j MASQUERADE --random-fully",
            ],
        }

    def _services(self) -> list[str]:
        """The first accepting rules end the table for what IPVS serves, which other rules might translate."""
        rules = ["-s 127.0.0.0/8 -j RETURN"] if self._family is Family.IPV4 else []
        rules.append(f"{comment('Kubernetes service lb portal')} {self._in(SetName.LOAD_BALANCER)} -j {_LOAD_BALANCER}")
        rules.append(self._masquerade_cluster_ips())
        external = comment("Kubernetes service external ip + port for masquerade and filter purpose")
        rules.append(f"{external} {self._in(SetName.EXTERNAL_IP)} -j {_MARK_MASQ}")
        local = comment("Kubernetes service external ip + port with externalTrafficPolicy=local")
        for words, name in ((external, SetName.EXTERNAL_IP), (local, SetName.EXTERNAL_IP_LOCAL)):
            matched = f"{words} {self._in(name)}"
            rules += (
                f"{matched} -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j ACCEPT",
                f"{matched} -m addrtype --dst-type LOCAL -j ACCEPT",
            )
        rules += (
            f"-m addrtype --dst-type LOCAL -j {_NODE_PORT}",
            f"{self._in(SetName.CLUSTER_IP)} -j ACCEPT",
            f"{self._in(SetName.LOAD_BALANCER)} -j ACCEPT",
        )
        return rules

    def _masquerade_cluster_ips(self) -> str:
        words = comment("Kubernetes service cluster ip + port for masquerade purpose")
        outside = from_pods(self._local, inverted=True)
        if self._masquerade_all:
            return f"{words} {self._in(SetName.CLUSTER_IP)} -j {_MARK_MASQ}"
        if outside:
            return f"{outside.source or outside.interface} {words} {self._in(SetName.CLUSTER_IP)} -j {_MARK_MASQ}"
        # With no way to tell pods from others, only the node itself, whose source address is the destination.
        return f"{words} {self._in(SetName.CLUSTER_IP, 'src,dst')} -j {_MARK_MASQ}"

    def _node_ports(self) -> list[str]:
        rules: list[str] = []
        for protocol, local, every, directions in (
            ("tcp", SetName.NODE_PORT_LOCAL_TCP, SetName.NODE_PORT_TCP, "dst"),
            ("udp", SetName.NODE_PORT_LOCAL_UDP, SetName.NODE_PORT_UDP, "dst"),
            ("sctp", SetName.NODE_PORT_LOCAL_SCTP, SetName.NODE_PORT_SCTP, "dst,dst"),
        ):
            words = f"Kubernetes nodeport {protocol.upper()} port"
            rules += (
                _rule(f"{words} with externalTrafficPolicy=local", self._in(local, directions), "RETURN"),
                _rule(f"{words} for masquerade purpose", self._in(every, directions), _MARK_MASQ),
            )
            rules[-2:] = [f"-p {protocol} {rule}" for rule in rules[-2:]]
        return rules

    # ------------------------------------------------------------------ filter

    def _filter(self) -> Chains:
        known = (
            (SetName.LOAD_BALANCER, "dst,dst"),
            (SetName.CLUSTER_IP, "dst,dst"),
            (SetName.EXTERNAL_IP, "dst,dst"),
            (SetName.EXTERNAL_IP_LOCAL, "dst,dst"),
            (SetName.HEALTH_CHECK_NODE_PORT, "dst"),
        )
        unknown_port = f"-m conntrack --ctstate NEW {self._in(SetName.IPVS_IPS, 'dst')} -j {rejection(self._family)}"
        return {
            _INPUT_FILTER: [*(f"{self._in(name, directions)} -j RETURN" for name, directions in known), unknown_port],
            _OUTPUT_FILTER: [],
            _FIREWALL: [
                _rule(
                    "Kubernetes service load balancer ip + port for load balancer with sourceRange",
                    self._in(SetName.LOAD_BALANCER_FIREWALL),
                    _SOURCE_RANGES,
                )
            ],
            _SOURCE_RANGES: [
                _rule(
                    "Kubernetes service load balancer ip + port + source cidr for packet filter",
                    self._in(SetName.SOURCE_CIDR, "dst,dst,src"),
                    "RETURN",
                ),
                _rule(
                    "Kubernetes service load balancer ip + port + source IP for packet filter purpose",
                    self._in(SetName.SOURCE_IP, "dst,dst,src"),
                    "RETURN",
                ),
                "-j DROP",
            ],
            _NODE_PORT: [
                _rule("Kubernetes health check node port", self._in(SetName.HEALTH_CHECK_NODE_PORT, "dst"), "ACCEPT")
            ],
            _FORWARD: [
                _rule("kubernetes forwarding rules", f"-m mark --mark {self._mark}/{self._mark}", "ACCEPT"),
                _rule("kubernetes forwarding conntrack rule", "-m conntrack --ctstate RELATED,ESTABLISHED", "ACCEPT"),
            ],
        }


def chain_names() -> dict[str, list[str]]:
    """The names of all chains of ours, by table; they depend on nothing."""
    rules = FixedRules(Family.IPV4, masquerade_mark=1, masquerade_all=False, local_traffic=LocalTraffic())
    return {table: list(chains) for table, chains in rules.tables().items()}


def _rule(words: str, match: str, target: str) -> str:
    return f"{comment(words)} {match} -j {target}"
