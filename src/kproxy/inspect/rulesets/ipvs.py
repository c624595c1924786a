"""IPVS as a hook sees it: virtual servers that send a connection to one of their real servers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from kproxy.inspect.rulesets.branch import Branch, Step, Verdict
from kproxy.inspect.rulesets.ipvs_persistence import Client, Persistence
from kproxy.inspect.rulesets.netfilter import BaseChain, ChainKind
from kproxy.inspect.rulesets.packet import PROTOCOL_NUMBERS, Hook, format_endpoint
from kproxy.kernel.ipvs.protocol import PERSISTENT, RealServer, ServerKey, ServerSettings

_INPUT_PRIORITY = 99
"""NF_IP_PRI_NAT_SRC - 1 (net/netfilter/ipvs/ip_vs_core.c, ip_vs_ops4)."""
_OUTPUT_PRIORITY = -98
"""NF_IP_PRI_NAT_DST + 2."""
_IN_TURN = frozenset({"rr", "wrr", "fo", "ovf"})
_BY_WEIGHT = frozenset({"wrr", "wlc", "sed", "sh", "mh"})


class VirtualServer(NamedTuple):
    settings: ServerSettings
    real_servers: Sequence[RealServer]


VirtualServers = Mapping[ServerKey, VirtualServer]


def base_chains(servers: VirtualServers, persistence: Persistence) -> Iterator[BaseChain]:
    """The two hooks at which IPVS takes new connections."""
    yield _IpvsChain(Hook.INPUT, _INPUT_PRIORITY, servers, persistence)
    yield _IpvsChain(Hook.OUTPUT, _OUTPUT_PRIORITY, servers, persistence)


class _IpvsChain:
    """Implements `kproxy.inspect.rulesets.netfilter.BaseChain`."""

    kind: ChainKind = ChainKind.IPVS
    name = "IPVS"

    def __init__(self, hook: Hook, priority: int, servers: VirtualServers, persistence: Persistence) -> None:
        self.hook: Hook = hook
        self.priority: int = priority
        self._servers, self._persistence = servers, persistence

    def run(self, branch: Branch) -> list[Branch]:
        packet = branch.packet
        key = ServerKey(PROTOCOL_NUMBERS[packet.protocol.lower()], packet.destination, packet.port)
        server = self._servers.get(key)
        if server is None or packet.by_ipvs:
            return [branch]
        settings = server.settings
        rule = f"{key}, scheduler {settings.scheduler}"
        if settings.flags & PERSISTENT:
            rule += f", persistent {settings.timeout} s"
            if (known := self._remembered(Client(key, packet.source), server)) is not None:
                return [self._sent(branch, known, 1.0, rule, ", where this client was before")]
        candidates = [real for real in server.real_servers if real.weight > 0]
        if not candidates:
            # ip_vs_leave() answers with port unreachable.
            step = Step(self.name, rule, "rejected: no real server has a weight", "")
            return [branch.after(step).with_verdict(Verdict.REJECT)]
        weighted = settings.scheduler in _BY_WEIGHT
        weights = [real.weight if weighted else 1 for real in candidates]
        # Schedulers that look at connections or hash addresses may take any of them.
        how = "" if settings.scheduler in _IN_TURN else f", as {settings.scheduler} chooses"
        return [
            self._sent(branch, real, weight / sum(weights), rule, how)
            for real, weight in zip(candidates, weights, strict=True)
        ]

    def _remembered(self, client: Client, server: VirtualServer) -> RealServer | None:
        """The real server that a client stays with, if it still may (ip_vs_check_template)."""
        last = self._persistence.servers.get(client)
        least = 0 if self._persistence.with_weight_zero else 1
        return next((real for real in server.real_servers if real.backend == last and real.weight >= least), None)

    def _sent(self, branch: Branch, real: RealServer, probability: float, rule: str, how: str) -> Branch:
        address, port = real.backend[:-2], int.from_bytes(real.backend[-2:], "big")
        step = Step(self.name, rule, f"destination becomes {format_endpoint(address, port)}{how}", "")
        changed = branch.weighted(probability).with_packet(
            destination=address, port=port, redirected=True, by_ipvs=True, destination_settled=True
        )
        return changed.after(step).with_verdict(Verdict.STOLEN)
