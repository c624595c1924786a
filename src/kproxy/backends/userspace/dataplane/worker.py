"""A worker process: `python -m kproxy.backends.userspace.dataplane.worker DESCRIPTOR SETTINGS`.

It does what the daemon tells it over a socket, and ends when that is closed. It needs no privileges, and whatever
happens to it costs its connections only: the daemon starts another one on the same listening sockets.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
from time import monotonic

import msgspec

from kproxy.backends.userspace.channel import Channel
from kproxy.backends.userspace.dataplane.counting import Counters, LimitReports
from kproxy.backends.userspace.dataplane.original_destination import original_destination
from kproxy.backends.userspace.dataplane.poller import Poller
from kproxy.backends.userspace.dataplane.pools import Pool
from kproxy.backends.userspace.dataplane.table import ForwardingTable
from kproxy.backends.userspace.dataplane.tcp import TcpForwarder
from kproxy.backends.userspace.dataplane.tcp_listener import TcpListener
from kproxy.backends.userspace.dataplane.udp import UdpForwarder, UdpListener
from kproxy.backends.userspace.descriptors import use_all
from kproxy.backends.userspace.messages import (
    Counted,
    Flush,
    Flushed,
    Listen,
    Notice,
    PutPorts,
    RemovePorts,
    Stuck,
    ToWorker,
    Unlisten,
    WorkerSettings,
)

_TICK_SECONDS = 0.1
_REPORT_TICKS = 10
_GARBAGE_THRESHOLD = 50_000
"""Objects between collections. Connections are freed by reference counts; cycles are rare."""


class Worker:
    """The forwarders of one process, and the daemon's words to them."""

    def __init__(self, connection: socket.socket, settings: WorkerSettings) -> None:
        """Wait for the daemon's first message.

        Args:
            connection: to the daemon; owned from now on
            settings: how much to take on
        """
        self._loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()
        self._channel: Channel[ToWorker] = Channel(
            connection, msgspec.msgpack.Decoder(ToWorker), self._on_message, self.ended.set
        )
        self._counters = Counters()
        self._reported: dict[str, int] = {}
        self._reports = LimitReports(lambda text: self._channel.send(Notice(text)))
        self._poller = Poller(self._loop)
        self._listeners: dict[int, TcpListener | UdpListener] = {}
        self._ticks = 0
        limits = self._limits = settings.limits
        self._table = ForwardingTable(
            limits.affinity_clients,
            shared=settings.shared,
            on_stuck=self._channel.send,
            on_forgotten=self._on_forgotten,
        )
        self._tcp = TcpForwarder(self._poller, limits, self._counters, self._reports)
        self._udp = UdpForwarder(self._poller, limits, self._counters, self._reports)
        self._loop.call_later(_TICK_SECONDS, self._tick)

    def _on_forgotten(self) -> None:
        self._counters.affinity_forgotten += 1
        limit = f"a Service port has {self._limits.affinity_clients} clients to remember"
        self._reports.reached(limit, "the ones that were away for longest are forgotten")

    def _on_message(self, message: ToWorker, descriptors: list[int]) -> None:
        match message:
            case PutPorts(ports):
                for port in ports:
                    self._table.put(port)
                self._udp.forget_gone([port.id for port in ports])
            case RemovePorts(ids):
                for identifier in ids:
                    self._table.remove(identifier)
                self._udp.forget_gone(ids)
            case Flush(sequence):
                self._channel.send(Flushed(sequence, self._values()))
            case Listen():
                self._listen(message, socket.socket(fileno=descriptors.pop(0)))
            case Unlisten(identifier):
                listener = self._listeners.pop(identifier, None)
                if listener is not None:
                    listener.close()
            case Stuck():
                self._table.stick(message, monotonic())

    def _listen(self, told: Listen, received: socket.socket) -> None:
        def of_port() -> Pool | None:
            port = self._table.port(told.port)
            return port.pool(local=told.local) if port else None

        def of_destination(client: socket.socket) -> Pool | None:
            destination = original_destination(client, told.family)
            port = self._table.at(told.family, destination) if destination else None
            return port.pool(local=told.local) if port else None

        if told.protocol == "UDP":
            self._listeners[told.id] = UdpListener(received, told.port, told.family, of_port, self._udp)
            return
        self._listeners[told.id] = TcpListener(
            received,
            told.family,
            (lambda client: of_port()) if told.port else of_destination,
            poller=self._poller,
            forwarder=self._tcp,
            counters=self._counters,
            reports=self._reports,
        )

    def _values(self) -> dict[str, int]:
        return {**self._counters.values(), "endpoints_failing": self._table.failing}

    def _tick(self) -> None:
        now = monotonic()
        self._tcp.expire(now)
        self._udp.expire(now)
        self._ticks += 1
        if self._ticks % _REPORT_TICKS == 0:
            counters = self._values()
            if counters != self._reported and not self.ended.is_set():
                self._reported = counters
                self._channel.send(Counted(counters))
        self._loop.call_later(_TICK_SECONDS, self._tick)


async def _serve(descriptor: int, settings: WorkerSettings) -> None:
    worker = Worker(socket.socket(fileno=descriptor), settings)
    await worker.ended.wait()


def main() -> None:
    """Serve until the daemon closes its end."""
    # Signals are for the daemon, which lets its workers go when it is done.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    gc.set_threshold(_GARBAGE_THRESHOLD)
    use_all()
    descriptor, settings = int(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=WorkerSettings)
    os.set_inheritable(descriptor, False)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(descriptor, settings))


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    """What runs the event loop: uvloop where it is installed, else asyncio itself, which is slower."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


if __name__ == "__main__":
    main()
