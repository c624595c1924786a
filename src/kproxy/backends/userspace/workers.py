"""The worker processes: they are told everything, told again after a crash, and waited for."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Mapping

from kproxy.backends.userspace.descriptors import fit
from kproxy.backends.userspace.local_ports import LocalPort
from kproxy.backends.userspace.messages import (
    Counted,
    Flush,
    Flushed,
    ForwardedPort,
    FromWorker,
    Listen,
    Notice,
    PutPorts,
    RemovePorts,
    Stuck,
    ToWorker,
    Unlisten,
    WorkerSettings,
)
from kproxy.backends.userspace.options import Limits
from kproxy.backends.userspace.worker_process import WorkerProcess

log = logging.getLogger(__name__)

GAUGES = frozenset({"connections", "flows", "endpoints_failing"})
"""Counters that tell how many there are now."""

_PORTS_A_MESSAGE = 256
_FLUSH_SECONDS = 15.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 10.0
_HEALTHY_SECONDS = 30.0
"""A worker that lived so long is started again without much of a pause."""


class _Seat:
    """The place of one worker; the process in it may change."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: WorkerProcess | None = None
        self.flushed = 0
        self.counters: dict[str, int] = {}
        self.started = 0.0
        self.pause = _FIRST_PAUSE


class Workers:
    """Any number of workers that all do the same."""

    def __init__(self, count: int, limits: Limits) -> None:
        """Start nothing yet.

        Args:
            count: how many
            limits: of each
        """
        fitting = fit(limits)
        if fitting != limits:
            log.warning(
                "No more than %d connections and %d UDP flows a worker: descriptors are limited (RLIMIT_NOFILE)",
                fitting.connections,
                fitting.flows,
            )
        self._settings = WorkerSettings(fitting, count > 1)
        self._seats = [_Seat(number) for number in range(count)]
        self._ports: dict[int, ForwardedPort] = {}
        self._listeners: dict[int, tuple[Listen, LocalPort]] = {}
        self._sequence = 0
        self._answered = asyncio.Event()
        self._past: Counter[str] = Counter()
        """What workers counted that are no more."""
        self._restarting: set[asyncio.TimerHandle] = set()
        self._started = False
        self.restarts = 0

    def start(self) -> None:
        """Start the processes, on the running event loop, unless they have been.

        Raises:
            OSError: no process can be started
        """
        if not self._started:
            for seat in self._seats:
                self._start(seat)
            self._started = True

    @property
    def pids(self) -> list[int]:
        return [seat.process.pid for seat in self._seats if seat.process]

    def put(self, ports: Iterable[ForwardedPort]) -> None:
        """Add or change what is forwarded."""
        changed = list(ports)
        self._ports.update((port.id, port) for port in changed)
        for start in range(0, len(changed), _PORTS_A_MESSAGE):
            self._tell(PutPorts(changed[start : start + _PORTS_A_MESSAGE]))

    def remove(self, ids: Iterable[int]) -> None:
        """Forward no new connections of these ports."""
        gone = list(ids)
        for identifier in gone:
            self._ports.pop(identifier, None)
        if gone:
            self._tell(RemovePorts(gone))

    def listen(self, told: Listen, local: LocalPort) -> None:
        """Serve a local port; it is owned from now on."""
        self._listeners[told.id] = (told, local)
        for seat in self._seats:
            self._tell_to_listen(seat, told, local)

    def unlisten(self, identifier: int) -> None:
        """Close a local port."""
        found = self._listeners.pop(identifier, None)
        if found is not None:
            self._tell(Unlisten(identifier))
            found[1].close()

    async def flush(self) -> None:
        """Wait until every worker does what it was told.

        Raises:
            OSError: one of them has not answered in time, and was replaced
        """
        self._sequence += 1
        wanted = self._sequence
        self._tell(Flush(wanted))
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                while any(seat.flushed < wanted for seat in self._seats):
                    self._answered.clear()
                    await self._answered.wait()
        except TimeoutError:
            for seat in self._seats:
                if seat.flushed < wanted and seat.process:
                    seat.process.close()
                    self._ended(seat)
            raise TimeoutError(f"a worker has not answered for {_FLUSH_SECONDS:g} s and was replaced") from None

    def counters(self) -> Mapping[str, int]:
        """The sum of what all workers counted, up to a second old."""
        total = self._past.copy()
        for seat in self._seats:
            total.update(seat.counters)
        return total

    def close(self) -> None:
        """End all of them, and close all local ports."""
        for handle in self._restarting:
            handle.cancel()
        for seat in self._seats:
            if seat.process:
                seat.process.close()
                seat.process = None
        for _, local in self._listeners.values():
            local.close()
        self._listeners.clear()

    # ------------------------------------------------------------------ one worker

    def _start(self, seat: _Seat) -> None:
        seat.started = asyncio.get_running_loop().time()
        seat.process = WorkerProcess(
            self._settings, lambda message: self._heard(seat, message), lambda: self._ended(seat)
        )
        ports = list(self._ports.values())
        for start in range(0, len(ports), _PORTS_A_MESSAGE):
            self._say(seat, PutPorts(ports[start : start + _PORTS_A_MESSAGE]))
        for told, local in self._listeners.values():
            self._tell_to_listen(seat, told, local)
        self._say(seat, Flush(self._sequence))

    def _tell_to_listen(self, seat: _Seat, told: Listen, local: LocalPort) -> None:
        if seat.process:
            seat.process.channel.send(told, (local.sockets[seat.number].fileno(),))

    def _tell(self, message: ToWorker) -> None:
        for seat in self._seats:
            self._say(seat, message)

    def _say(self, seat: _Seat, message: ToWorker) -> None:
        if seat.process:
            seat.process.channel.send(message)

    def _heard(self, seat: _Seat, message: FromWorker) -> None:
        match message:
            case Flushed(sequence, counters):
                seat.flushed, seat.counters = sequence, counters
                self._answered.set()
            case Counted(counters):
                seat.counters = counters
            case Notice(text):
                log.warning("Worker %d: %s", seat.number, text)
            case Stuck():
                for other in self._seats:
                    if other is not seat:
                        self._say(other, message)

    def _ended(self, seat: _Seat) -> None:
        """Start another one on the same sockets: clients whose connections wait to be accepted notice nothing."""
        seat.process, seat.flushed = None, 0
        self._past.update({name: value for name, value in seat.counters.items() if name not in GAUGES})
        seat.counters = {}
        self.restarts += 1
        loop = asyncio.get_running_loop()
        if loop.time() - seat.started > _HEALTHY_SECONDS:
            seat.pause = _FIRST_PAUSE
        pause, seat.pause = seat.pause, min(seat.pause * 2, _LONGEST_PAUSE)
        log.error("Worker %d has ended, and its connections with it; another one starts in %g s", seat.number, pause)

        def restart() -> None:
            self._restarting.discard(handle)
            try:
                self._start(seat)
            except OSError as error:
                log.error("Worker %d cannot be started: %s", seat.number, error)
                self._ended(seat)

        handle = loop.call_later(pause, restart)
        self._restarting.add(handle)
