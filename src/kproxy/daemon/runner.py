"""When to sync: soon after a change, not too often, and now and then without any."""

import asyncio
import random
from collections.abc import Awaitable, Callable

_FIRST_RETRY, _LONGEST_RETRY = 0.1, 30.0
_NEVER = float("inf")


class SyncRunner:
    """Runs a sync when asked, at least `min_period` and at most `sync_period` seconds after the one before.

    One sync runs at a time. Requests that arrive before it begins are answered by that one sync, and those that
    arrive while it runs by the next one. A sync that fails is tried again with exponential backoff and jitter.
    """

    def __init__(self, sync: Callable[[], Awaitable[bool]], *, min_period: float, sync_period: float) -> None:
        """Make a runner; nothing runs before the first request.

        Args:
            sync: does the work, on the event loop; returns whether it succeeded
            min_period: in seconds; 0: as soon as the events that are at hand are taken
            sync_period: in seconds
        """
        self._sync = sync
        self._min_period = min_period
        self._sync_period = sync_period
        self._handle: asyncio.TimerHandle | asyncio.Handle | None = None
        self._running: asyncio.Task[None] | None = None
        self._requested = False
        self._due = _NEVER
        self._not_before = 0.0
        self._retry = _FIRST_RETRY
        self._closed = False

    def request(self) -> None:
        """Ask for a sync."""
        if self._running:
            self._requested = True
        elif self._due > self._not_before:
            self._schedule(self._not_before)

    async def close(self, patience: float = 10.0) -> None:
        """Begin nothing more, and wait for the sync that runs.

        Args:
            patience: in seconds, how long to wait before the sync is cancelled
        """
        self._closed = True
        if self._handle:
            self._handle.cancel()
        if self._running and not (await asyncio.wait([self._running], timeout=patience))[0]:
            self._running.cancel()
            await asyncio.wait([self._running])

    def _schedule(self, due: float) -> None:
        if self._closed:
            return
        if self._handle:
            self._handle.cancel()
        loop = asyncio.get_running_loop()
        self._due = due
        self._handle = loop.call_soon(self._begin) if due <= loop.time() else loop.call_at(due, self._begin)

    def _begin(self) -> None:
        self._handle = None
        self._due = _NEVER
        self._running = asyncio.create_task(self._run(), name="sync")

    async def _run(self) -> None:
        self._requested = False
        try:
            succeeded = await self._sync()
        finally:
            self._running = None
        now = asyncio.get_running_loop().time()
        if succeeded:
            self._retry = _FIRST_RETRY
            self._not_before = now + self._min_period
            self._schedule(self._not_before if self._requested else now + self._sync_period)
            return
        delay = max(self._min_period, self._retry * random.uniform(0.8, 1.2))
        self._retry = min(self._retry * 2, _LONGEST_RETRY)
        self._not_before = now + delay
        self._schedule(self._not_before)
