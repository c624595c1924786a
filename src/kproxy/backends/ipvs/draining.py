"""Graceful termination: a TCP endpoint that goes keeps its connections, and gets no new ones.

Its real server stays with weight 0 until its connections are gone, for 15 minutes at most. The kernel's weight is the
state: a proxy that starts takes every real server of weight 0 that no Service wants for one that drains.
"""

from collections.abc import Collection, Iterator

from kproxy.kernel.ipvs.protocol import Backend, RealServer, ServerKey

LONGEST_SECONDS = 15 * 60.0
"""As kube-proxy has it."""

_TCP = 6


class Draining:
    """The real servers of one family that drain. Times are those of a monotonic clock, in seconds."""

    def __init__(self) -> None:
        self._deadlines: dict[ServerKey, dict[Backend, float]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._deadlines.values()))

    def __contains__(self, item: tuple[ServerKey, Backend]) -> bool:
        return item[1] in self._deadlines.get(item[0], ())

    @staticmethod
    def applies_to(key: ServerKey) -> bool:
        """UDP and SCTP servers go at once, as their clients do not end what they have with them."""
        return key.protocol == _TCP

    def begin(self, key: ServerKey, backend: Backend, now: float) -> None:
        """Start the time of a real server that has just lost its weight, unless it runs already."""
        self._deadlines.setdefault(key, {}).setdefault(backend, now + LONGEST_SECONDS)

    def end(self, key: ServerKey, backend: Backend) -> bool:
        """Forget a real server that is wanted again, or gone; returns whether it was draining."""
        backends = self._deadlines.get(key)
        if backends is None or backends.pop(backend, None) is None:
            return False
        if not backends:
            del self._deadlines[key]
        return True

    def end_all(self, key: ServerKey) -> None:
        """Forget all real servers of a virtual server."""
        self._deadlines.pop(key, None)

    def servers(self) -> Collection[ServerKey]:
        """The virtual servers with any."""
        return tuple(self._deadlines)

    def finished(self, key: ServerKey, present: Collection[RealServer], now: float) -> Iterator[Backend]:
        """Those of a virtual server that may be deleted, given what the kernel has."""
        connections = {server.backend: server.connections for server in present}
        for backend, deadline in self._deadlines.get(key, {}).items():
            if now >= deadline or not connections.get(backend):
                yield backend
