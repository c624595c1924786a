"""Forwarding UDP: a flow for each client of a Service port, with a socket of its own towards the endpoint.

Answers come back over that socket and go out from the one that the client sent to. A flow ends when the client has
been silent for a while, when its endpoint goes away, or when there are too many.
"""

import errno
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from kproxy.backends.userspace.dataplane.counting import Counters, LimitReports
from kproxy.backends.userspace.dataplane.endpoints import Endpoint
from kproxy.backends.userspace.dataplane.poller import LEVEL_READ, Poller
from kproxy.backends.userspace.dataplane.pools import Pool
from kproxy.backends.userspace.options import Limits

_LARGEST = 1 << 16
_AT_ONCE = 64
"""Datagrams of one socket before others have their turn."""
_KEPT = 2048
"""Bytes of a datagram that are kept until its endpoint first answers, in case another one must have it."""
_NEW_SOCKET = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

_NOBODY_THERE = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)
"""What ICMP errors turn into on a socket."""

_ClientAddress = tuple[Any, ...]
"""As recvfrom(2) gives it in Python."""


class _Flow:
    """A client and its endpoint."""

    __slots__ = ("answered", "client", "endpoint", "kept", "last_seen", "listener", "socket", "tried")

    def __init__(self, listener: "UdpListener", client: _ClientAddress) -> None:
        self.listener, self.client = listener, client
        self.socket: socket.socket | None = None
        self.endpoint: Endpoint | None = None
        self.tried: tuple[Endpoint, ...] = ()
        self.answered = False
        """The endpoint has, since it is the flow's."""
        self.kept: bytes | None = None
        """The last datagram, while nothing was answered."""
        self.last_seen = 0.0

    def on_event(self, mask: int) -> None:
        self.listener.forwarder.answer(self)


class UdpListener:
    """A socket that clients send to."""

    def __init__(
        self,
        receiving: socket.socket,
        port: int,
        family: int,
        find_pool: Callable[[], Pool | None],
        forwarder: "UdpForwarder",
    ) -> None:
        """Begin to receive.

        Args:
            receiving: owned from now on
            port: the `ForwardedPort` that it serves
            family: 4 or 6
            find_pool: of the Service port that it serves; None when it has gone
            forwarder: takes what is received
        """
        self.socket, self.port, self.family = receiving, port, family
        self.find_pool, self.forwarder = find_pool, forwarder
        self.flows: dict[_ClientAddress, _Flow] = {}
        receiving.setblocking(False)
        forwarder.listeners.setdefault(port, []).append(self)
        forwarder.poller.register(receiving.fileno(), LEVEL_READ, self._receive)

    def close(self) -> None:
        """End its flows as well."""
        for flow in list(self.flows.values()):
            self.forwarder.forget(flow)
        siblings = self.forwarder.listeners[self.port]
        siblings.remove(self)
        if not siblings:
            del self.forwarder.listeners[self.port]
        self.forwarder.poller.forget(self.socket.fileno(), self.socket)

    def _receive(self, mask: int) -> None:
        receive, forward = self.socket.recvfrom, self.forwarder.forward
        for _ in range(_AT_ONCE):
            try:
                data, client = receive(_LARGEST)
            except BlockingIOError:
                return
            except OSError:
                # An ICMP error about an answer of ours: the client has gone.
                continue
            forward(self, client, data)


class UdpForwarder:
    """All UDP flows of a worker."""

    def __init__(self, poller: Poller, limits: Limits, counters: Counters, reports: LimitReports) -> None:
        self.poller = poller
        self._limits, self._counters, self._reports = limits, counters, reports
        self.listeners: dict[int, list[UdpListener]] = {}
        """By the port that they serve."""
        self._flows: OrderedDict[_Flow, None] = OrderedDict()
        """The one that was silent for longest first."""

    def forward(self, listener: UdpListener, client: _ClientAddress, data: bytes) -> None:
        """Send a client's datagram to its endpoint."""
        self._counters.udp_datagrams += 1
        pool = listener.find_pool()
        if pool is None:
            self._counters.udp_dropped += 1
            return
        flow = listener.flows.get(client)
        if flow is None:
            if len(self._flows) >= self._limits.flows:
                self._evict()
            flow = listener.flows[client] = _Flow(listener, client)
            self._flows[flow] = None
            self._counters.flows += 1
            self._counters.flows_opened += 1
        else:
            self._flows.move_to_end(flow)
        flow.last_seen = monotonic()
        if flow.endpoint is not None and flow.endpoint not in pool:
            self._disconnect(flow)
        if flow.socket is None:
            flow.tried = ()
        if not flow.answered:
            flow.kept = data if len(data) <= _KEPT else None
        self._send(flow, pool, data)

    def answer(self, flow: _Flow) -> None:
        """Send what an endpoint answered to the client."""
        for _ in range(_AT_ONCE):
            if flow.socket is None:
                return
            try:
                data = flow.socket.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NOBODY_THERE:
                    self._refused(flow)
                return
            if not flow.answered and flow.endpoint is not None:
                flow.answered, flow.kept = True, None
                if flow.endpoint.failing:
                    flow.endpoint.succeeded()
            self._counters.udp_datagrams += 1
            flow.last_seen = monotonic()
            self._flows.move_to_end(flow)
            try:
                flow.listener.socket.sendto(data, flow.client)
            except OSError:
                self._counters.udp_dropped += 1

    def expire(self, now: float) -> None:
        """End flows of clients that were silent for too long; to be called often."""
        idle = self._limits.udp_idle_seconds
        while self._flows:
            flow = next(iter(self._flows))
            if now - flow.last_seen < idle:
                return
            self.forget(flow)

    def forget_gone(self, ports: Iterable[int]) -> None:
        """End the flows of ports whose endpoint has gone, or is no longer one of theirs."""
        for listener in [listener for port in ports for listener in self.listeners.get(port, ())]:
            pool = listener.find_pool()
            for flow in list(listener.flows.values()):
                if pool is None or flow.endpoint not in pool:
                    self.forget(flow)

    def forget(self, flow: _Flow) -> None:
        """End a flow."""
        self._disconnect(flow)
        del flow.listener.flows[flow.client]
        del self._flows[flow]
        self._counters.flows -= 1

    def _send(self, flow: _Flow, pool: Pool, data: bytes) -> None:
        while flow.socket is not None or self._connect(flow, pool):
            if flow.socket is None:
                break
            try:
                flow.socket.send(data)
            except BlockingIOError:
                self._counters.udp_dropped += 1
            except OSError as error:
                if error.errno in _NOBODY_THERE:
                    # That was the answer to an earlier datagram.
                    self._exclude_endpoint(flow)
                    continue
                self._counters.udp_dropped += 1
            return
        self._counters.udp_dropped += 1
        self.forget(flow)

    def _connect(self, flow: _Flow, pool: Pool) -> bool:
        """Give a flow an endpoint and a socket; returns whether there is one left to try."""
        now = monotonic()
        while (endpoint := pool.pick(flow.client[0], flow.tried, now)) is not None:
            flow.endpoint = endpoint
            try:
                flow.socket = socket.socket(_FAMILIES[flow.listener.family], _NEW_SOCKET)
            except OSError as error:
                self._reports.reached(f"sockets ran out ({error.strerror})", "datagrams are dropped")
                return False
            try:
                flow.socket.connect(endpoint.address)
            except OSError:
                flow.socket.close()
                flow.socket = None
                self._exclude_endpoint(flow)
                continue
            self.poller.register(flow.socket.fileno(), LEVEL_READ, flow.on_event)
            return True
        return False

    def _refused(self, flow: _Flow) -> None:
        """The endpoint's node says that nobody is there: the next one gets the datagram."""
        kept = flow.kept
        self._exclude_endpoint(flow)
        pool = flow.listener.find_pool()
        if kept is None or pool is None:
            self.forget(flow)
            return
        self._counters.connect_retries += 1
        self._send(flow, pool, kept)

    def _exclude_endpoint(self, flow: _Flow) -> None:
        if flow.endpoint is not None:
            self._counters.connect_failures += 1
            flow.endpoint.failed(monotonic())
            flow.tried = (*flow.tried, flow.endpoint)
        self._disconnect(flow)

    def _disconnect(self, flow: _Flow) -> None:
        if flow.socket is not None:
            self.poller.forget(flow.socket.fileno(), flow.socket)
        flow.socket = flow.endpoint = None
        flow.answered = False

    def _evict(self) -> None:
        self._counters.flows_evicted += 1
        self._reports.reached(f"{self._limits.flows} UDP flows are open", "the one silent for longest gives way")
        self.forget(next(iter(self._flows)))
