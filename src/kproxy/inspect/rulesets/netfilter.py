"""A packet's way through the hooks of netfilter, over every rule-set that is registered there."""

import enum
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from kproxy.inspect.rulesets.branch import Branch, Doubt, Step, Verdict, merged
from kproxy.inspect.rulesets.packet import Hook, Packet
from kproxy.inspect.rulesets.routes import Routes
from kproxy.services.addresses import Address


class ChainKind(enum.Enum):
    """What a chain at a hook may do (`type` of an nftables chain)."""

    FILTER = "filter"
    ROUTE = "route"
    NAT = "nat"
    """Asked for the first packet of a connection alone, and only until one of them has translated it."""
    IPVS = "ipvs"


class BaseChain(Protocol):
    """Rules that a hook calls."""

    @property
    def hook(self) -> Hook: ...

    @property
    def priority(self) -> int:
        """Chains with smaller numbers are asked first."""

    @property
    def kind(self) -> ChainKind: ...

    @property
    def name(self) -> str: ...

    def run(self, branch: Branch) -> list[Branch]:
        """What becomes of a packet; a verdict of `CONTINUE` counts as accepted."""


class Fate(enum.Enum):
    """How a packet's way through the node ends."""

    REDIRECTED = "redirected"
    """Delivered to an endpoint in place of where it was sent."""
    UNCHANGED = "unchanged"
    """Forwarded to where it was sent, by routing alone."""
    LOCAL = "local"
    """Given to this node's own processes, at the address and port where it was sent."""
    DROPPED = "dropped"
    REJECTED = "rejected"


class Outcome(msgspec.Struct, frozen=True):
    """One of the ends that a packet may meet."""

    fate: Fate
    branch: Branch
    source: Address | None
    """Which source address the receiver sees; None: this node's, but it is not known which."""

    @property
    def probability(self) -> float:
        return self.branch.probability

    @property
    def answers_bypass(self) -> bool:
        """Whether answers need not come back this way, where alone the translation could be undone.

        So it is where the packet leaves by the interface that it came by, with the client's own address: the
        endpoint then reaches the client directly.
        """
        packet = self.branch.packet
        return (
            self.fate is Fate.REDIRECTED
            and not packet.source_translated
            and not packet.by_bridge
            and bool(packet.input_interface)
            and packet.input_interface == packet.output_interface
        )

    @property
    def returns_to_client(self) -> bool:
        """Whether another host gets its own packet back, with its own address as the source."""
        packet = self.branch.packet
        return (
            self.fate is Fate.REDIRECTED
            and not packet.source_translated
            and packet.source == packet.destination
            and packet.input_interface not in (None, "", "lo")
        )


def traverse(packet: Packet, chains: Sequence[BaseChain], routes: Routes) -> list[Outcome]:
    """Send a packet through the node.

    Args:
        packet: with the interface that it comes in by, or an empty one when a process of this node sends it
        chains: of its IP family, in any order
        routes: of the node
    """
    return _Traversal(chains, routes).run(packet)


class _Traversal:
    def __init__(self, chains: Iterable[BaseChain], routes: Routes) -> None:
        self.routes = routes
        self.at: dict[Hook, list[BaseChain]] = {hook: [] for hook in Hook}
        for chain in chains:
            self.at[chain.hook].append(chain)
        for listed in self.at.values():
            listed.sort(key=lambda chain: chain.priority)
        self.outcomes: list[Outcome] = []

    def run(self, packet: Packet) -> list[Outcome]:
        first = Branch(packet)
        if packet.input_interface == "":
            self._leave(self._routed(self._hook(Hook.OUTPUT, self._routed([first]))))
        else:
            self._enter([first])
        return self.outcomes

    def _enter(self, branches: list[Branch]) -> None:
        for branch in self._hook(Hook.PREROUTING, branches):
            if self.routes.is_local(branch.packet.destination):
                for arrived in self._hook(Hook.INPUT, [branch]):
                    fate = Fate.REDIRECTED if arrived.packet.redirected else Fate.LOCAL
                    self._end(fate, arrived)
            else:
                self._leave(self._hook(Hook.FORWARD, self._routed([branch])))

    def _leave(self, branches: list[Branch]) -> None:
        for branch in self._hook(Hook.POSTROUTING, branches):
            packet = branch.packet
            if packet.input_interface == "" and self.routes.is_local(packet.destination):
                # What a node sends to itself comes in again, and connection tracking knows it then.
                settled = branch.with_packet(input_interface="lo", destination_settled=True, source_settled=True)
                self._enter([settled])
            else:
                self._end(Fate.REDIRECTED if packet.redirected else Fate.UNCHANGED, branch)

    def _hook(self, hook: Hook, branches: list[Branch]) -> list[Branch]:
        """Those that pass. The fate of the others is sealed here; IPVS sends what it takes out by itself."""
        for chain in self.at[hook]:
            passed: list[Branch] = []
            for branch in branches:
                if branch.verdict is Verdict.STOLEN or (chain.kind is ChainKind.NAT and _settled(branch.packet, hook)):
                    passed.append(branch)
                    continue
                for result in chain.run(branch):
                    if result.verdict is Verdict.DROP:
                        self._end(Fate.DROPPED, result)
                    elif result.verdict is Verdict.REJECT:
                        self._end(Fate.REJECTED, result)
                    elif result.verdict is Verdict.STOLEN:
                        passed.append(result)
                    else:
                        passed.append(result.with_verdict(Verdict.CONTINUE))
            branches = merged(passed)
        stolen = [b.with_verdict(Verdict.CONTINUE) for b in branches if b.verdict is Verdict.STOLEN]
        if stolen:
            # It calls the output hook (ip_vs_nat_xmit), and what is left of this one is not asked.
            branches = [branch for branch in branches if branch.verdict is not Verdict.STOLEN]
            self._leave(self._hook(Hook.OUTPUT, self._routed(stolen)))
        if hook in (Hook.PREROUTING, Hook.OUTPUT):
            branches = [branch.with_packet(destination_settled=True) for branch in branches]
        return branches

    def _routed(self, branches: list[Branch]) -> list[Branch]:
        routed = []
        for branch in branches:
            if self.routes.is_local(branch.packet.destination):
                routed.append(branch.with_packet(output_interface="lo"))
            else:
                route = self.routes.towards(branch.packet.destination)
                routed.append(branch.with_packet(output_interface=route.interface if route else None))
        return routed

    def _end(self, fate: Fate, branch: Branch) -> None:
        delivered = fate in (Fate.REDIRECTED, Fate.UNCHANGED, Fate.LOCAL)
        self.outcomes.append(Outcome(fate, branch, self._seen(branch.packet) if delivered else None))

    def _seen(self, packet: Packet) -> Address | None:
        if packet.new_source is not None:
            return packet.new_source
        if not packet.masquerade:
            return packet.source
        route = self.routes.towards(packet.destination)
        return route.source if route else None


def _settled(packet: Packet, hook: Hook) -> bool:
    return packet.destination_settled if hook in (Hook.PREROUTING, Hook.OUTPUT) else packet.source_settled


def all_doubts(outcomes: Iterable[Outcome]) -> list[Doubt]:
    """Every rule that was not understood on any of the ways, each once."""
    return list(dict.fromkeys(doubt for outcome in outcomes for doubt in outcome.branch.doubts))


def common_steps(outcomes: Sequence[Outcome]) -> tuple[Step, ...]:
    """The steps that all ways begin with."""
    if not outcomes:
        return ()
    ways = [outcome.branch.steps for outcome in outcomes]
    shared = []
    for steps in zip(*ways, strict=False):
        if any(step != steps[0] for step in steps):
            break
        shared.append(steps[0])
    return tuple(shared)
