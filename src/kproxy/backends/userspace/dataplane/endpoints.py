"""Endpoints and how they have been lately: passive health, learned from connections alone.

An endpoint that fails is left alone for a second, then one connection at a time may try it (half-open); each
further failure doubles the time, up to thirty seconds, and a success ends it.
"""

import zlib

from kproxy.backends.userspace.messages import EndpointAddress

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds."""
_TRIAL_PATIENCE = 10.0
"""Seconds after which a trial that nobody reported on no longer stands in the way of the next one."""


class Endpoint:
    """An address and port that connections go to, whatever Service ports lead there."""

    __slots__ = ("_all_failing", "_pause", "_retry_at", "_trial_until", "address", "failing", "seed", "uses")

    def __init__(self, address: EndpointAddress, all_failing: "set[Endpoint]") -> None:
        """Believe that it is well.

        Args:
            address: where it is
            all_failing: the set that it is to be in while it fails
        """
        self.address = address
        self._all_failing = all_failing
        self.seed = zlib.crc32(f"{address[0]} {address[1]}".encode())
        """For hashes that are to differ by endpoint."""
        self.failing = False
        self.uses = 0
        """How many pools have it; 0: it has gone, and only old connections remain."""
        self._pause = self._retry_at = self._trial_until = 0.0

    def available(self, now: float) -> bool:
        """Whether a new connection may be sent there; of one that failed, whether it is time for a trial."""
        return not self.failing or (now >= self._retry_at and now >= self._trial_until)

    @property
    def retry_at(self) -> float:
        """When a failing one may be tried again, in seconds of the monotonic clock."""
        return self._retry_at

    def chosen(self, now: float) -> None:
        """A connection is under way; if the endpoint was failing, it is the trial, and others wait for its outcome."""
        if self.failing:
            self._trial_until = now + _TRIAL_PATIENCE

    def failed(self, now: float) -> None:
        # Connections that were under way when the first one failed say nothing new.
        if self.failing and now < self._retry_at:
            return
        self._pause = min(self._pause * 2, LONGEST_PAUSE) if self.failing else FIRST_PAUSE
        self.failing = True
        if self.uses:
            self._all_failing.add(self)
        self._retry_at, self._trial_until = now + self._pause, 0.0

    def succeeded(self) -> None:
        self.failing = False
        self._all_failing.discard(self)
        self._pause = self._retry_at = self._trial_until = 0.0


class Endpoints:
    """One `Endpoint` for each address, as long as a pool has it."""

    def __init__(self) -> None:
        self._known: dict[EndpointAddress, Endpoint] = {}
        self._failing: set[Endpoint] = set()

    def __len__(self) -> int:
        return len(self._known)

    def take(self, address: EndpointAddress) -> Endpoint:
        endpoint = self._known.get(address)
        if endpoint is None:
            endpoint = self._known[address] = Endpoint(address, self._failing)
        endpoint.uses += 1
        return endpoint

    def release(self, endpoint: Endpoint) -> None:
        endpoint.uses -= 1
        if not endpoint.uses:
            self._known.pop(endpoint.address, None)
            self._failing.discard(endpoint)

    @property
    def failing(self) -> int:
        """How many are failing now."""
        return len(self._failing)
