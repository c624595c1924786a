"""Balancers: one chain for each number of endpoints, shared by all Services that have as many.

A balancer draws a slot number into the packet's priority; the chain that called it looks the endpoint up
under the packet's destination and that slot. Balancers themselves look nothing up: the kernel walks a whole
map when a new chain refers to it (nf_tables_bind_set), so that the first Service with eleven endpoints would
cost as much as the cluster has endpoints.
"""

import sys
from typing import NamedTuple

from kproxy.backends.nftables.statements import (
    Statement,
    daddr,
    draw_hash,
    draw_next,
    draw_random,
    saddr,
    set_mark,
)
from kproxy.services.addresses import Family
from kproxy.services.balancing import Algorithm

MAX_ENDPOINTS = (1 << 16) - 1
"""An identifier has 16 bits for the number of endpoints; a Service port balances over no more."""
COUNTERS = 1 << 12
"""Round robin keeps its place in one of so many counters, lest Services take turns with each other's."""

_ALGORITHMS = (Algorithm.RANDOM, Algorithm.ROUND_ROBIN, Algorithm.SOURCE_HASH, Algorithm.DESTINATION_HASH)


class Balancer(NamedTuple):
    """How connections to a destination are balanced."""

    endpoints: int
    masquerade: bool = False
    """The endpoint sees this node's address, so that its answers come back this way."""
    algorithm: Algorithm = Algorithm.RANDOM
    counter: int = 0
    """For round robin; 0 otherwise."""

    @property
    def identifier(self) -> int:
        """The number by which the maps refer to it: a function of what it is, the same after a restart.

        16 bits of endpoints, one that is always set (0 means none), masquerade, two of the algorithm, the counter.
        """
        kind = 1 | self.masquerade << 1 | _ALGORITHMS.index(self.algorithm) << 2 | self.counter << 4
        return kind << 16 | self.endpoints

    @property
    def encoded(self) -> bytes:
        """The identifier as the packet's priority holds it."""
        return self.identifier.to_bytes(4, sys.byteorder)

    @staticmethod
    def decode(encoded: bytes) -> "Balancer | None":
        """The balancer that an encoded identifier means; None when it is none of ours."""
        kind, endpoints = divmod(int.from_bytes(encoded, sys.byteorder), 1 << 16)
        if not kind & 1 or not endpoints:
            return None
        return Balancer(endpoints, bool(kind & 2), _ALGORITHMS[kind >> 2 & 3], kind >> 4)

    @property
    def chain(self) -> str:
        counter = f"-{self.counter}" if self.algorithm is Algorithm.ROUND_ROBIN else ""
        return f"{'masquerade-' if self.masquerade else ''}{self.algorithm.value}-{self.endpoints}{counter}"

    def rules(self, family: Family, mark: int) -> list[tuple[Statement, ...]]:
        """The rules of its chain; `mark` is the bit of the packet mark that asks for masquerading."""
        rules: list[tuple[Statement, ...]] = [(self._draw(family),)]
        if self.masquerade:
            rules.insert(0, (set_mark(mark),))
        return rules

    def _draw(self, family: Family) -> Statement:
        match self.algorithm:
            case Algorithm.ROUND_ROBIN:
                return draw_next(self.endpoints)
            case Algorithm.SOURCE_HASH:
                return draw_hash(saddr(family), self.endpoints)
            case Algorithm.DESTINATION_HASH:
                return draw_hash(daddr(family), self.endpoints)
            case _:
                return draw_random(self.endpoints)
