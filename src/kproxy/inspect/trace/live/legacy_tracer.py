"""Has ip_tables tell of every rule that a traced packet meets (nf_log_trace, net/ipv4/netfilter/ip_tables.c).

It tells of packets whose trace bit is set, which `meta nftrace` of nf_tables does as well as `-j TRACE`: a prefix that
names table, chain and rule, to the logger that is set for the IP family. nfnetlink_log hands it to group 0.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kproxy.inspect.rulesets.packet import Hook
from kproxy.inspect.trace.live import borrowed_logger
from kproxy.inspect.trace.live.flow import FlowName
from kproxy.inspect.trace.live.headers import Header, read_header
from kproxy.kernel.conntrack.protocol import PROTOCOL_NUMBER
from kproxy.kernel.ip_tables import legacy_tables
from kproxy.kernel.nflog.packets import LoggedPacket
from kproxy.kernel.nflog.socket import LogSocket
from kproxy.services.addresses import Family

_GROUP = 0
_LENGTH = 128
"""Bytes: the longest headers that a probe has."""
_PREFIX = re.compile(r"TRACE: (?P<table>[^:]+):(?P<chain>.+):(?P<kind>rule|return|policy):(?P<number>\d+) ?")
_HOOKS = (Hook.PREROUTING, Hook.INPUT, Hook.FORWARD, Hook.OUTPUT, Hook.POSTROUTING)
"""As linux/netfilter.h numbers them."""


class LegacyTold(NamedTuple):
    """One rule of ip_tables that a packet met."""

    table: str
    chain: str
    number: int
    """Of the rule in its chain, from 1."""
    ends: bool
    """It is an unconditional verdict, as the end of every chain is (`return`, `policy`)."""
    hook: Hook
    mark: int
    """Of the packet, before the rule."""
    header: Header


def read_told(packet: LoggedPacket) -> LegacyTold | None:
    """Read what was logged; None when it is not told by ip_tables of a packet that a probe might send."""
    match = _PREFIX.fullmatch(packet.prefix)
    header = read_header(packet.payload)
    if match is None or header is None or packet.hook >= len(_HOOKS):
        return None
    return LegacyTold(
        table=match["table"],
        chain=match["chain"],
        number=int(match["number"]),
        ends=match["kind"] != "rule",
        hook=_HOOKS[packet.hook],
        mark=packet.mark,
        header=header,
    )


class LegacyTracer:
    """Listens for the length of a block, in the network namespace of the calling thread.

    It takes up what another left whose process was killed; without legacy tables, it does nothing else.
    """

    def __init__(self, family: Family) -> None:
        """Begin; what keeps it from listening is in `notes`.

        Args:
            family: of the packets that will be traced

        Raises:
            OSError: the kernel does not let this process ask
        """
        self.notes: list[str] = []
        self.told: list[LegacyTold] = []
        """All that was heard so far, of any packet."""
        self._family = family
        self._socket: LogSocket | None = None
        self._listening = bool(legacy_tables(family))
        left = [each for each in Family if borrowed_logger.noted(each) is not None]
        if self._listening or left:
            self._open(left)

    def _open(self, left: Iterable[Family]) -> None:
        try:
            self._socket = LogSocket(_GROUP, length=_LENGTH)
        except PermissionError:
            self._unheard(f"another program reads nfnetlink_log's group {_GROUP}")
            return
        except OSError as error:
            self._unheard(f"the kernel has no nfnetlink_log: {error}")
            return
        for family in left:
            self._give_back(family)
        if not self._listening:
            return
        try:
            borrowed_logger.borrow(self._family)
        except OSError as error:
            self._unheard(f"nfnetlink_log cannot be made the logger of {self._family.value}: {error}")

    @property
    def listening(self) -> bool:
        """Whether there are legacy rules, and what is told of them is heard."""
        return self._listening

    def fileno(self) -> int | None:
        """Readable when something is told; None when nothing can be."""
        return self._socket.fileno() if self._socket and self._listening else None

    def hear(self) -> list[LegacyTold]:
        """What is new."""
        new: list[LegacyTold] = []
        for packet in self._socket.packets() if self._socket else ():
            if packet is None:
                self.notes.append("the kernel told more of the rules of iptables-legacy than could be read in time")
            elif (told := read_told(packet)) is not None:
                new.append(told)
        self.told += new
        return new

    def close(self) -> None:
        """Put the logger back, and stop listening."""
        if self._socket is None:
            return
        self._give_back(self._family)
        self._socket.close()
        self._socket = None

    def _give_back(self, family: Family) -> None:
        try:
            borrowed_logger.give_back(family)
        except OSError as error:
            self.notes.append(f"the logger of {family.value} cannot be put back: {error}")

    def _unheard(self, why: str) -> None:
        if self._listening:
            self.notes.append(f"rules of iptables-legacy are not told: {why}")
        self._listening = False

    def __enter__(self) -> "LegacyTracer":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def of_the_first_packet(told: Iterable[LegacyTold], flow: FlowName) -> Iterator[list[LegacyTold]]:
    """What was told of the flow's first packet: on its way, and once more where the node sends it to itself.

    Args:
        told: of any packets, in order
        flow: as its sender names it, before any translation
    """
    name = (flow.destination, PROTOCOL_NUMBER[flow.protocol], flow.source_port, flow.port)
    first: Header | None = None
    way: list[LegacyTold] = []
    for each in told:
        header = each.header
        if first is None and name == (header.destination, header.protocol, header.source_port, header.port):
            first = header
        if first is None or (header.protocol, header.transmission) != (first.protocol, first.transmission):
            continue
        if each.hook in (Hook.PREROUTING, Hook.INPUT) and way and way[-1].hook in (Hook.OUTPUT, Hook.POSTROUTING):
            yield way
            way = []
        way.append(each)
    if way:
        yield way
