"""What a worker counts, and what it says when a limit is reached."""

import time
from collections.abc import Callable

_QUIET_SECONDS = 60.0
"""A limit that is reached again and again is reported this often."""


class Counters:
    """Plain numbers, counted on the hot path."""

    __slots__ = (
        "accepted",
        "affinity_forgotten",
        "connect_failures",
        "connect_retries",
        "connect_timeouts",
        "connections",
        "flows",
        "flows_evicted",
        "flows_opened",
        "pipes_exhausted",
        "refused_limit",
        "refused_no_endpoint",
        "refused_unknown",
        "resets",
        "tcp_bytes",
        "udp_datagrams",
        "udp_dropped",
    )

    accepted: int
    """TCP connections."""
    connections: int
    """TCP connections open now."""
    refused_limit: int
    """Reset because there are too many."""
    refused_no_endpoint: int
    """Reset because no endpoint took them."""
    refused_unknown: int
    """Reset because no Service has the address that they were sent to."""
    connect_failures: int
    """Endpoints that refused, or could not be reached."""
    connect_timeouts: int
    """Endpoints that did not answer in time."""
    connect_retries: int
    """Another endpoint tried for the same client connection."""
    resets: int
    """Connections that one side ended by a reset."""
    pipes_exhausted: int
    """Reads of bulk transfers that were copied because all pipes are in use."""
    tcp_bytes: int
    flows: int
    """UDP flows open now."""
    flows_opened: int
    flows_evicted: int
    """Ended before their time because there are too many."""
    udp_datagrams: int
    udp_dropped: int
    """Datagrams that could not be forwarded."""
    affinity_forgotten: int
    """Clients whose endpoint was forgotten before its time because there are too many."""

    def __init__(self) -> None:
        for name in self.__slots__:
            setattr(self, name, 0)

    def values(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


class LimitReports:
    """One line when a limit is reached, and one a minute while it goes on."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._quiet_until: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def reached(self, limit: str, consequence: str) -> None:
        """Report.

        Args:
            limit: which, in words
            consequence: what happens to whatever is beyond it
        """
        now = time.monotonic()
        if now < self._quiet_until.get(limit, 0.0):
            self._unsaid[limit] = self._unsaid.get(limit, 0) + 1
            return
        self._quiet_until[limit] = now + _QUIET_SECONDS
        more = self._unsaid.pop(limit, 0)
        self._say(f"{limit}: {consequence}" + (f" ({more} more since the last report)" if more else ""))
