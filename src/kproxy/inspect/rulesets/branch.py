"""One of the ways that a packet may take, where rules draw lots."""

import enum
from collections.abc import Iterable

import msgspec

from kproxy.inspect.rulesets.packet import Packet


class Verdict(enum.Enum):
    """What a chain says about a packet."""

    CONTINUE = "continue"
    """The end of the chain, or a return from it."""
    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"
    STOLEN = "stolen"
    """IPVS sends it on by itself."""


class Step(msgspec.Struct, frozen=True):
    """A rule that did something to the packet."""

    where: str
    """Table and chain."""
    rule: str
    """As its language writes it."""
    effect: str
    """What it did, in words."""
    about: str = ""
    """What the rule's author says that it is for: its comment, or that of the element it found."""


class Doubt(msgspec.Struct, frozen=True):
    """A rule that was reached and is not understood: it was passed over, though it may matter."""

    where: str
    rule: str
    reason: str


class Branch(msgspec.Struct, frozen=True):
    """A packet, how likely it comes to this, and how it came."""

    packet: Packet
    probability: float = 1.0
    verdict: Verdict = Verdict.CONTINUE
    steps: tuple[Step, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    def after(self, step: Step) -> "Branch":
        return msgspec.structs.replace(self, steps=(*self.steps, step))

    def doubting(self, doubt: Doubt) -> "Branch":
        return self if doubt in self.doubts else msgspec.structs.replace(self, doubts=(*self.doubts, doubt))

    def with_verdict(self, verdict: Verdict) -> "Branch":
        return msgspec.structs.replace(self, verdict=verdict)

    def with_packet(self, **changes: object) -> "Branch":
        return msgspec.structs.replace(self, packet=msgspec.structs.replace(self.packet, **changes))

    def weighted(self, factor: float) -> "Branch":
        return self if factor == 1.0 else msgspec.structs.replace(self, probability=self.probability * factor)


def merged(branches: Iterable[Branch]) -> list[Branch]:
    """Join the branches in which the packet is the same: what follows does not depend on how it came so far.

    Of the ways there, the likeliest is kept. Without this, rules that draw lots one after the other would
    multiply the branches.
    """
    found: dict[tuple[Packet, Verdict], Branch] = {}
    for branch in branches:
        key = (branch.packet, branch.verdict)
        other = found.get(key)
        if other is None:
            found[key] = branch
            continue
        first, second = (other, branch) if other.probability >= branch.probability else (branch, other)
        joined = msgspec.structs.replace(first, probability=first.probability + second.probability)
        for doubt in second.doubts:
            joined = joined.doubting(doubt)
        found[key] = joined
    return list(found.values())
