"""Balancers: one chain for each number of endpoints, shared by all Services that have as many.

A balancer draws a slot number into the packet's priority; the chain that called it looks the endpoint up
under the packet's destination and that slot. Balancers themselves look nothing up: the kernel walks a whole
map when a new chain refers to it (nf_tables_bind_set), so that the first Service with eleven endpoints would
cost as much as the cluster has endpoints.
"""

import sys
from typing import NamedTuple

from kproxy.backends.nftables.statements import Statement, draw_slot, set_mark

MAX_ENDPOINTS = (1 << 16) - 1
"""An identifier has 16 bits for the number of endpoints; a Service port balances over no more."""


class Balancer(NamedTuple):
    """How connections to a destination are balanced."""

    endpoints: int
    masquerade: bool = False
    """The endpoint sees this node's address, so that its answers come back this way."""

    @property
    def identifier(self) -> int:
        """The number by which the maps refer to it: a function of what it is, the same after a restart."""
        return (2 if self.masquerade else 1) << 16 | self.endpoints

    @property
    def encoded(self) -> bytes:
        """The identifier as the packet's priority holds it."""
        return self.identifier.to_bytes(4, sys.byteorder)

    @staticmethod
    def decode(encoded: bytes) -> "Balancer | None":
        """The balancer that an encoded identifier means; None when it is none of ours."""
        kind, endpoints = divmod(int.from_bytes(encoded, sys.byteorder), 1 << 16)
        if kind not in (1, 2) or not endpoints:
            return None
        return Balancer(endpoints, kind == 2)

    @property
    def chain(self) -> str:
        return f"{'masquerade-' if self.masquerade else ''}random-{self.endpoints}"

    def rules(self, mark: int) -> list[tuple[Statement, ...]]:
        """The rules of its chain; `mark` is the bit of the packet mark that asks for masquerading."""
        rules: list[tuple[Statement, ...]] = [(draw_slot(self.endpoints),)]
        if self.masquerade:
            rules.insert(0, (set_mark(mark),))
        return rules
