"""Everything that the kernel tells of a probe's way, while it is sent."""

import contextlib

from kproxy.inspect.rulesets.packet import Packet
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.inspect.trace.live import legacy_tracer
from kproxy.inspect.trace.live.flow import FlowName
from kproxy.inspect.trace.live.legacy_rules import LegacyRules
from kproxy.inspect.trace.live.legacy_tracer import LegacyTracer
from kproxy.inspect.trace.live.rule_texts import RuleTexts
from kproxy.inspect.trace.live.tracer import Told, Tracer
from kproxy.inspect.trace.live.way import Met, merged, of_nf_tables


class Witness:
    """Listens for the length of a block, in the network namespace of the calling thread."""

    def __init__(self, packet: Packet, source_port: int, snapshot: Snapshot | None) -> None:
        """Begin.

        Args:
            packet: what the probe will be
            source_port: by which it is told from others
            snapshot: of the rules, for their texts

        Raises:
            OSError: the kernel cannot trace, or this process may not have it do so
        """
        self._snapshot = snapshot
        self._texts = RuleTexts(snapshot)
        self._rules = LegacyRules(snapshot, packet)
        self._told: list[Told] = []
        with contextlib.ExitStack() as stack:
            # First, and ended last: what ip_tables tells goes to the kernel's log while nobody listens.
            self._legacy = stack.enter_context(LegacyTracer(packet.family))
            self._tracer = stack.enter_context(
                Tracer(packet.destination, packet.port, packet.protocol, source_port),
            )
            self._closing = stack.pop_all()

    def filenos(self) -> list[int]:
        """Readable when something is told."""
        legacy = self._legacy.fileno()
        return [self._tracer.fileno()] + ([] if legacy is None else [legacy])

    def hear(self) -> bool:
        """Take what is told; returns whether some rule let a packet go no further."""
        new = list(self._tracer.told())
        self._told += new
        legacy = self._legacy.hear()
        return any(each.verdict == "drop" for each in new) or any(map(self._rules.refusal, legacy))

    def way(self, flow: FlowName) -> list[Met]:
        """What the flow's first packet met.

        What a node sends to itself comes in again. That is told where it was refused then, and else left out.
        """
        ways = list(legacy_tracer.of_the_first_packet(self._legacy.told, flow))
        going = merged(self._met(_first(self._told)), self._rules.met(ways[0] if ways else ()))
        if any(met.refusal for met in going):
            return going
        again = merged(self._met(_refused_again(self._told)), self._rules.met(ways[1] if len(ways) > 1 else ()))
        return going + again if any(met.refusal for met in again) else going

    def missing(self, way: list[Met]) -> list[str]:
        """What rules may have met the packet without being told, in words."""
        found = list(self._legacy.notes)
        if self._legacy.listening and not self._legacy.told and not any(met.refusal for met in way):
            found.append("the kernel told no rule of iptables-legacy: it may lack NETFILTER_XT_TARGET_TRACE")
        return found

    def close(self) -> None:
        """Have the kernel stop telling."""
        self._closing.close()

    def __enter__(self) -> "Witness":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _met(self, told: list[Told]) -> list[Met]:
        return list(of_nf_tables(told, self._texts, self._snapshot))


def _first(told: list[Told]) -> list[Told]:
    return [each for each in told if each.packet == told[0].packet]


def _refused_again(told: list[Told]) -> list[Told]:
    """What was told of the next packet that was dropped."""
    again = (each.packet for each in told if each.packet != told[0].packet and each.verdict == "drop")
    packet = next(again, None)
    return [each for each in told if each.packet == packet]
