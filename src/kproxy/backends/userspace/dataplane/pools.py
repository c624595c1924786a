"""Who is next: the endpoints of a Service port under one traffic policy, in turn, with session affinity."""

import random
import zlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence

from kproxy.backends.userspace.dataplane.endpoints import Endpoint


class Affinity:
    """Which endpoint each client has."""

    def __init__(self, seconds: float, limit: int, on_forgotten: Callable[[], None]) -> None:
        """Remember nobody yet.

        Args:
            seconds: how long a client that does not come back is remembered
            limit: how many clients at most
            on_forgotten: called when one is forgotten before its time
        """
        self.seconds = seconds
        self._limit = limit
        self._on_forgotten = on_forgotten
        self._clients: OrderedDict[str, tuple[Endpoint, float]] = OrderedDict()
        """With the time of the last connection, the oldest first."""

    def __len__(self) -> int:
        return len(self._clients)

    def endpoint_of(self, client: str, now: float) -> Endpoint | None:
        found = self._clients.get(client)
        if found is None:
            return None
        endpoint, seen = found
        if not endpoint.uses or now - seen > self.seconds:
            del self._clients[client]
            return None
        return endpoint

    def remember(self, client: str, endpoint: Endpoint, now: float) -> None:
        self._clients[client] = (endpoint, now)
        self._clients.move_to_end(client)
        while self._clients:
            _, seen = next(iter(self._clients.values()))
            full = len(self._clients) > self._limit
            if not full and now - seen <= self.seconds:
                return
            if now - seen <= self.seconds:
                self._on_forgotten()
            self._clients.popitem(last=False)


class Pool:
    """Endpoints that take turns.

    Each round has every endpoint once, in an order of its own: with the same order in every round, clients that
    connect in step with each other would each always meet the same endpoint.

    Where clients stay with their endpoint, a hash of both picks a new client's (rendezvous hashing), and not its turn:
    workers and restarted proxies, which do not know each other's turns, agree on it, and an endpoint that comes or
    goes moves its own clients only.
    """

    def __init__(self) -> None:
        """Begin with no endpoints."""
        self.by_client = False
        """Whether the hash decides although nothing is remembered, for Services that ask for it."""
        self.affinity: Affinity | None = None
        self.on_stuck: Callable[[str, Endpoint], None] = lambda client, endpoint: None
        """Called when a client gets an endpoint that it did not have."""
        self._endpoints: list[Endpoint] = []
        self._members: frozenset[Endpoint] = frozenset()
        self._next = 0

    @property
    def endpoints(self) -> Sequence[Endpoint]:
        return self._endpoints

    def replace(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints, self._members = list(endpoints), frozenset(endpoints)
        self._begin_round()

    def __contains__(self, endpoint: object) -> bool:
        return endpoint in self._members

    def pick(self, client: str, tried: Collection[Endpoint], now: float) -> Endpoint | None:
        """The endpoint for a client's connection; None when all have been tried.

        Those that fail are passed over, unless nothing else is left: then the one whose pause ends first.

        Args:
            client: its address
            tried: those that did not take this connection
            now: seconds of the monotonic clock
        """
        if self.affinity is not None:
            return self._sticky(self.affinity, client, tried, now)
        return self._by_hash(client, tried, now) if self.by_client else self._in_turn(tried, now)

    def _sticky(self, affinity: Affinity, client: str, tried: Collection[Endpoint], now: float) -> Endpoint | None:
        known = affinity.endpoint_of(client, now)
        if known is not None and known in self._members and known not in tried and known.available(now):
            chosen: Endpoint | None = known
            known.chosen(now)
        else:
            chosen = self._by_hash(client, tried, now)
        if chosen is not None:
            affinity.remember(client, chosen, now)
            if chosen is not known:
                self.on_stuck(client, chosen)
        return chosen

    def _by_hash(self, client: str, tried: Collection[Endpoint], now: float) -> Endpoint | None:
        encoded = client.encode()
        untried = [endpoint for endpoint in self._members if endpoint not in tried]
        available = [endpoint for endpoint in untried if endpoint.available(now)]
        if not available:
            return _last_resort(untried)
        chosen = max(available, key=lambda endpoint: (zlib.crc32(encoded, endpoint.seed), endpoint.address))
        chosen.chosen(now)
        return chosen

    def _in_turn(self, tried: Collection[Endpoint], now: float) -> Endpoint | None:
        for _ in range(2):
            for position in range(self._next, len(self._endpoints)):
                endpoint = self._endpoints[position]
                if endpoint not in tried and (not endpoint.failing or endpoint.available(now)):
                    endpoint.chosen(now)
                    self._next = position + 1
                    return endpoint
            self._begin_round()
        return _last_resort([endpoint for endpoint in self._endpoints if endpoint not in tried])

    def _begin_round(self) -> None:
        random.shuffle(self._endpoints)
        self._next = 0


def _last_resort(endpoints: Iterable[Endpoint]) -> Endpoint | None:
    """Where all fail, the one whose pause ends first: to try it is better than to refuse."""
    return min(endpoints, key=lambda endpoint: endpoint.retry_at, default=None)
