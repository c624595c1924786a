"""A steady stream of requests, each from a fresh socket, while something changes."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from kproxy.lab.lab import Lab
from kproxy.lab.probe import Outcome, Result, Transport, now


@dataclass(frozen=True, slots=True)
class Request:
    """One request: when it began and ended on the lab's clock (seconds), and what it met."""

    started: float
    finished: float
    outcome: Outcome

    @property
    def latency(self) -> float:
        return self.finished - self.started


class Load:
    """Requests of one client to one address at a fixed rate, for the length of a block.

    Requests start on schedule whether or not earlier ones were answered, so a stall is seen by every request
    that falls into it.
    """

    def __init__(self, lab: Lab, client: str, transport: Transport, address: str, port: int, rate: float) -> None:
        """Prepare the stream.

        Args:
            lab: where.
            client: the vantage point that asks.
            transport: over what.
            address: whom.
            port: the port there.
            rate: requests per second.
        """
        self.client, self.transport, self.address, self.port = client, transport, address, port
        self.requests: list[Request] = []
        """In the order in which they ended."""
        self._lab = lab
        self._interval = 1 / rate
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._pacing = asyncio.create_task(self._pace())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if kind is None:
            self._stopping.set()
        else:
            self._pacing.cancel()
        await asyncio.gather(self._pacing, return_exceptions=kind is not None)

    async def _pace(self) -> None:
        due = now()
        async with asyncio.TaskGroup() as group:
            while not self._stopping.is_set():
                group.create_task(self._request())
                due += self._interval
                await asyncio.sleep(max(0.0, due - now()))

    async def _request(self) -> None:
        started = now()
        outcome = await self._lab.probe(self.client, self.transport, self.address, self.port)
        self.requests.append(Request(started, now(), outcome))

    @property
    def failures(self) -> list[Request]:
        return [request for request in self.requests if request.outcome.result is not Result.OK]

    def answers(self, since: float = float("-inf"), until: float = float("inf")) -> Counter[str]:
        """Number of answers by pod, of the requests that began in a span of the lab's clock."""
        return Counter(
            request.outcome.pod
            for request in self.requests
            if request.outcome.pod is not None and since <= request.started < until
        )


def quantile(latencies: list[float], share: float) -> float:
    """The latency that a share (0 to 1) of the requests did not exceed; 0 without requests."""
    ordered = sorted(latencies)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
