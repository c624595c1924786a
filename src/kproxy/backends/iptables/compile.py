"""From the model to rules: the chains of each Service, and what it contributes to the chains that all share.

Rules are spelt as iptables-save prints them. What stands in them comes from packed addresses, numbers, hashes,
and escaped names: no text of the API gets here as it is.
"""

import enum
from collections.abc import Iterable, Sequence
from socket import AF_INET, AF_INET6, inet_ntop
from typing import NamedTuple, TypeAlias

from kproxy.backends.iptables.accounting import LOCALHOST_ACCEPTED
from kproxy.backends.iptables.matches import comment, from_pods, host, one_in, recent_mask, rejection
from kproxy.backends.iptables.names import (
    EXTERNAL_SERVICES,
    MARK_MASQ,
    NODEPORTS,
    PROXY_FIREWALL,
    SERVICES,
    chain_hash,
    identity,
)
from kproxy.backends.iptables.options import RuleOptions
from kproxy.services.addresses import Address, Family, Network
from kproxy.services.model import Endpoint, Policy, ServicePort, Verdict

NAT, FILTER, MANGLE = "nat", "filter", "mangle"


EndpointChain: TypeAlias = tuple[str, str, str]
"""An endpoint's chain, its `address:port`, and its address."""

_SOCKET_FAMILY = {Family.IPV4: AF_INET, Family.IPV6: AF_INET6}


class Shared(enum.IntEnum):
    """The chains to which every Service contributes, numbered as `Compiled.shared` has them."""

    NAT_SERVICES = 0
    NAT_NODEPORTS = 1
    FILTER_SERVICES = 2
    EXTERNAL_SERVICES = 3
    PROXY_FIREWALL = 4
    FILTER_NODEPORTS = 5

    @property
    def table(self) -> str:
        return NAT if self <= Shared.NAT_NODEPORTS else FILTER

    @property
    def chain(self) -> str:
        return _CHAINS[self]


_CHAINS = (SERVICES, NODEPORTS, SERVICES, EXTERNAL_SERVICES, PROXY_FIREWALL, NODEPORTS)


class Compiled(NamedTuple):
    """A Service's part of one family's rules."""

    chains: bytes
    """Lines that declare its own chains, all in the nat table."""
    rules: bytes
    """Its own chains' rules, chain by chain in the order of `chains`."""
    shared: tuple[bytes, ...]
    """Its rules in the shared chains."""
    endpoints: int
    """How many endpoint chains it has."""


NOTHING = Compiled(b"", b"", (b"",) * len(Shared), 0)


def compile_service(ports: Iterable[ServicePort], options: RuleOptions) -> Compiled:
    """Write all rules of a Service, given by its ports, in one family."""
    compiler = _ServiceCompiler(options)
    for port in ports:
        compiler.add(port)
    return compiler.finish()


class _ServiceCompiler:
    def __init__(self, options: RuleOptions) -> None:
        self.options = options
        self.chains: list[str] = []
        self.rules: list[str] = []
        self.shared: list[list[str]] = [[] for _ in Shared]
        self.endpoints = 0

    def finish(self) -> Compiled:
        if not self.chains and not any(self.shared):
            return NOTHING
        return Compiled(
            "".join([f":{chain} - [0:0]\n" for chain in self.chains]).encode(),
            "".join(self.rules).encode(),
            tuple(["".join(lines).encode() for lines in self.shared]),
            self.endpoints,
        )

    def add(self, port: ServicePort) -> None:
        _PortCompiler(self, port).run()
        if port.health_check_node_port:
            words = comment(f"{identity(port)} health check node port")
            self.shared[Shared.FILTER_NODEPORTS].append(
                f"-A {NODEPORTS} -p tcp {words} -m tcp --dport {port.health_check_node_port} -j ACCEPT\n"
            )


class _PortCompiler:
    """The rules of one port."""

    def __init__(self, service: _ServiceCompiler, port: ServicePort) -> None:
        self.service, self.port, self.options = service, port, service.options
        self.name = identity(port)
        self.protocol = port.protocol.lower()
        self.hashed = (self.name + self.protocol).encode()
        hash_ = chain_hash(self.hashed)
        self.cluster, self.local, self.external, self.firewall = (
            f"KUBE-{kind}-{hash_}" for kind in ("SVC", "SVL", "EXT", "FW")
        )

    def run(self) -> None:
        port = self.port
        reachable_outside = port.has_endpoints and port.externally_accessible
        self.cluster_ip()
        self.external_ips()
        self.load_balancer_ips()
        self.node_port()
        if reachable_outside:
            self.external_chain()
            if port.load_balancer_ips and port.source_ranges:
                self.firewall_chain()
        uses_cluster = port.internal_policy is Policy.CLUSTER or reachable_outside
        uses_local = Policy.LOCAL in (port.internal_policy, port.external_policy)
        cluster = self.endpoint_chains(port.cluster_endpoints) if uses_cluster else []
        local = self.endpoint_chains(port.local_endpoints) if uses_local else []
        if cluster:
            self.balance(self.cluster, cluster, internal=port.internal_policy is Policy.CLUSTER)
        if local:
            self.balance(self.local, local, internal=port.internal_policy is Policy.LOCAL)
        if not cluster or not local:
            self.endpoint_rules(cluster or local)
        else:
            self.endpoint_rules(list(dict.fromkeys(cluster + local)))

    # ------------------------------------------------------------------ where packets come in

    def to(self, address: Address, port: int, words: str) -> str:
        """The match for a destination."""
        return f"-d {host(address)} -p {self.protocol} {comment(words)} -m {self.protocol} --dport {port}"

    def share(self, where: Shared, match: str, target: str) -> None:
        self.service.shared[where].append(f"-A {_CHAINS[where]} {match} -j {target}\n")

    def refusal(self, verdict: Verdict) -> tuple[str, str]:
        """The comment's words and the target for an address that cannot be served."""
        if verdict is Verdict.REJECT:
            return f"{self.name} has no endpoints", rejection(self.port.family)
        return f"{self.name} has no local endpoints", "DROP"

    def cluster_ip(self) -> None:
        port = self.port
        if port.internal_verdict is Verdict.BALANCE:
            chain = self.local if port.internal_policy is Policy.LOCAL else self.cluster
            words = f"{self.name} cluster IP"
            self.share(Shared.NAT_SERVICES, self.to(port.cluster_ip, port.port, words), chain)
        else:
            words, target = self.refusal(port.internal_verdict)
            self.share(Shared.FILTER_SERVICES, self.to(port.cluster_ip, port.port, words), target)

    def external_ips(self) -> None:
        port = self.port
        for address in port.external_ips:
            if port.has_endpoints:
                match = self.to(address, port.port, f"{self.name} external IP")
                self.share(Shared.NAT_SERVICES, match, self.external)
            self.refuse_outside(address)

    def load_balancer_ips(self) -> None:
        port = self.port
        for address in port.load_balancer_ips:
            if port.has_endpoints:
                match = self.to(address, port.port, f"{self.name} loadbalancer IP")
                self.share(Shared.NAT_SERVICES, match, self.firewall if port.source_ranges else self.external)
                if port.source_ranges:
                    words = f"{self.name} traffic not accepted by {self.firewall}"
                    self.share(Shared.PROXY_FIREWALL, self.to(address, port.port, words), "DROP")
            self.refuse_outside(address)

    def refuse_outside(self, address: Address) -> None:
        verdict = self.port.external_verdict
        if verdict is not Verdict.BALANCE:
            words, target = self.refusal(verdict)
            self.share(Shared.EXTERNAL_SERVICES, self.to(address, self.port.port, words), target)

    def node_port(self) -> None:
        port, protocol = self.port, self.protocol
        if not port.node_port:
            return
        to_port = f"-m {protocol} --dport {port.node_port}"
        if port.has_endpoints:
            match = f"-p {protocol} {comment(self.name)} {to_port}"
            if self.options.localhost_node_ports and self.options.accounting:
                # Two spaces: libxt_nfacct prints them, and what is read back is compared.
                counted = f"-d 127.0.0.0/8 {match} -m nfacct --nfacct-name  {LOCALHOST_ACCEPTED}"
                self.share(Shared.NAT_NODEPORTS, counted, self.external)
            self.share(Shared.NAT_NODEPORTS, match, self.external)
        verdict = port.external_verdict
        if verdict is not Verdict.BALANCE:
            words, target = self.refusal(verdict)
            match = f"-p {protocol} {comment(words)} -m addrtype --dst-type LOCAL {to_port}"
            self.share(Shared.EXTERNAL_SERVICES, match, target)

    # ------------------------------------------------------------------ the port's own chains

    def chain(self, name: str, rules: Iterable[str]) -> None:
        self.service.chains.append(name)
        self.service.rules.extend([f"-A {name} {rule}\n" for rule in rules])

    def external_chain(self) -> None:
        """What is destined for an external address or the node port, by the external policy.

        Pods and the node itself take the short way to any endpoint: they are not outside. The node's own
        packets are masqueraded, as their source may be the load balancer's address.
        """
        port, rules = self.port, []
        if port.external_policy is Policy.CLUSTER:
            rules.append(f"{comment(f'masquerade traffic for {self.name} external destinations')} -j {MARK_MASQ}")
        else:
            match = from_pods(self.options.local_traffic)
            if match:
                words = comment(f"pod traffic for {self.name} external destinations")
                rules.append(f"{match.with_destination('')} {words} -j {self.cluster}")
            from_node = "-m addrtype --src-type LOCAL"
            words = comment(f"masquerade LOCAL traffic for {self.name} external destinations")
            rules.append(f"{words} {from_node} -j {MARK_MASQ}")
            words = comment(f"route LOCAL traffic for {self.name} external destinations")
            rules.append(f"{words} {from_node} -j {self.cluster}")
        if port.external_verdict is Verdict.BALANCE:
            rules.append(f"-j {self.local if port.external_policy is Policy.LOCAL else self.cluster}")
        self.chain(self.external, rules)

    def firewall_chain(self) -> None:
        """Sources that may use the load balancer IPs. What is let through here is dropped in the filter table.

        A node that has the load balancer IP on an interface of its own reaches it with that very address as
        the source; where the ranges admit the node, they admit this address too.
        """
        port, node_ip = self.port, self.options.node_ip
        admitted = list(port.source_ranges)
        if node_ip and any(node_ip in network for network in port.source_ranges):
            admitted += [Network(ip, len(ip) * 8) for ip in port.load_balancer_ips]
        words = comment(f"{self.name} loadbalancer IP")
        rules = [f"{_source(network)}{words} -j {self.external}" for network in admitted]
        rules.append(comment(f"other traffic to {self.name} will be dropped by {PROXY_FIREWALL}"))
        self.chain(self.firewall, rules)

    def balance(self, chain: str, endpoints: Sequence[EndpointChain], *, internal: bool) -> None:
        """The chain that picks an endpoint: the client's last one if it is to stay there, else any."""
        port = self.port
        rules = []
        if internal:
            masquerade = self._masquerade_cluster_ip()
            if masquerade:
                rules.append(masquerade)
        with_comments = self.options.comments
        heads = [f"{comment(f'{self.name} -> {text}')} " if with_comments else "" for _, text, _ in endpoints]
        if port.affinity_seconds:
            mask = recent_mask(port.family)
            rules += [
                f"{head}-m recent --rcheck --seconds {port.affinity_seconds} --reap --name {sep} --mask {mask} "
                f"--rsource -j {sep}"
                for head, (sep, _, _) in zip(heads, endpoints, strict=True)
            ]
        count = len(endpoints)
        rules += [
            f"{head}{one_in(count - i)} -j {sep}"
            for i, (head, (sep, _, _)) in enumerate(zip(heads[:-1], endpoints[:-1], strict=True))
        ]
        rules.append(f"{heads[-1]}-j {endpoints[-1][0]}")
        self.chain(chain, rules)

    def _masquerade_cluster_ip(self) -> str | None:
        """For packets from outside the cluster, which may go on to another node."""
        port, words = self.port, f"{self.name} cluster IP"
        if self.options.masquerade_all:
            return f"{self.to(port.cluster_ip, port.port, words)} -j {MARK_MASQ}"
        match = from_pods(self.options.local_traffic, inverted=True)
        if match is None:
            return None
        destination = match.with_destination(f"-d {host(port.cluster_ip)}")
        to_port = f"-p {self.protocol} {comment(words)} -m {self.protocol} --dport {port.port}"
        return f"{destination} {to_port} -j {MARK_MASQ}"

    # ------------------------------------------------------------------ endpoints

    def endpoint_chains(self, endpoints: Sequence[Endpoint]) -> list[EndpointChain]:
        """Each endpoint's chain, in the order of `address:port`, as the rules of a chain are."""
        hashed, family = self.hashed, _SOCKET_FAMILY[self.port.family]
        if self.port.family is Family.IPV4:
            texts = sorted([(f"{(ip := inet_ntop(family, e.address))}:{e.port}", ip) for e in endpoints])
        else:
            texts = sorted([(f"[{(ip := inet_ntop(family, e.address))}]:{e.port}", ip) for e in endpoints])
        return [("KUBE-SEP-" + chain_hash(hashed + text.encode()), text, ip) for text, ip in texts]

    def endpoint_rules(self, endpoints: Sequence[EndpointChain]) -> None:
        """An endpoint's chain: a client that reaches itself is masqueraded, or it would answer itself directly."""
        port, protocol = self.port, self.protocol
        words = f" {comment(self.name)}" if self.options.comments else ""
        masquerade = f"/{port.family.length * 8}{words} -j {MARK_MASQ}\n-A "
        translate = f" -m {protocol} -j DNAT --to-destination "
        matches = f" -p {protocol}{words}"
        self.service.endpoints += len(endpoints)
        self.service.chains += [sep for sep, _, _ in endpoints]
        if not port.affinity_seconds:
            translate = matches + translate
            self.service.rules += [
                f"-A {sep} -s {ip}{masquerade}{sep}{translate}{text}\n" for sep, text, ip in endpoints
            ]
            return
        mask = recent_mask(port.family)
        self.service.rules += [
            f"-A {sep} -s {ip}{masquerade}{sep}{matches} -m recent --set --name {sep} --mask {mask} --rsource"
            f"{translate}{text}\n"
            for sep, text, ip in endpoints
        ]


def _source(network: Network) -> str:
    """A source match with a space behind it; iptables-save prints none for the network of all addresses."""
    return f"-s {network} " if network.prefix_length else ""
