"""Graceful termination: a TCP endpoint that goes keeps its connections, and gets no new ones.

Its real server stays with weight 0 until its connections are gone, for 15 minutes at most. The state is in the kernel:
a proxy that starts takes every real server of weight 0 that no Service wants for one that drains, and finds its
deadline in the threshold of connections, which means nothing to a server that gets no new ones.
"""

import time
from collections.abc import Collection, Iterator

from kproxy.backends.ipvs.schedulers import lets_drain
from kproxy.kernel.ipvs.protocol import Backend, RealServer, ServerKey, ServerSettings

LONGEST_SECONDS = 15 * 60
"""As kube-proxy has it."""

_TCP = 6


def clock() -> int:
    """Seconds since the machine was started: for every process the same, whatever is done to its calendar."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


class Draining:
    """The real servers of one family that drain. Times are those of `clock`."""

    def __init__(self) -> None:
        self._deadlines: dict[ServerKey, dict[Backend, int]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._deadlines.values()))

    def __contains__(self, item: tuple[ServerKey, Backend]) -> bool:
        return item[1] in self._deadlines.get(item[0], ())

    @staticmethod
    def applies_to(key: ServerKey, settings: ServerSettings) -> bool:
        """UDP and SCTP servers go at once, as their clients do not end what they have with them."""
        return key.protocol == _TCP and lets_drain(settings.scheduler)

    def begin(self, key: ServerKey, backend: Backend, now: int) -> int:
        """Start the time of a real server that loses its weight, unless it runs already; returns the deadline."""
        return self._deadlines.setdefault(key, {}).setdefault(backend, now + LONGEST_SECONDS)

    def resume(self, key: ServerKey, backend: Backend, deadline: int, now: int) -> bool:
        """Let the time run that another process has started; returns False when the deadline cannot be one."""
        if not 0 < deadline <= now + LONGEST_SECONDS:
            return False
        self._deadlines.setdefault(key, {}).setdefault(backend, deadline)
        return True

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

    def finished(self, key: ServerKey, present: Collection[RealServer], now: int) -> Iterator[Backend]:
        """Those of a virtual server that may be deleted, given what the kernel has."""
        connections = {server.backend: server.connections for server in present}
        for backend, deadline in self._deadlines.get(key, {}).items():
            if now >= deadline or not connections.get(backend):
                yield backend
