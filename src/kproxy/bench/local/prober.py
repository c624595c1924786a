"""A client in a namespace: `python -m kproxy.bench.local.prober FD`. Reads tasks, one JSON line each, and answers.

A process of its own, so that neither the API server's work nor the event loop of the benchmark is in its times, which
are on the clock that all processes of a machine share (CLOCK_MONOTONIC).
"""

import itertools
import socket
import struct
import sys
import time
from typing import Final

import msgspec

_ABORT: Final = struct.pack("ii", 1, 0)
"""SO_LINGER that has close() send a reset: no TIME_WAIT is left, and no port is used up."""
_REQUEST: Final = b"GET / HTTP/1.1\r\n\r\n"
_TIMEOUT: Final = 1.0
_SHORT_TIMEOUT: Final = 0.1
"""While the proxy starts: a packet that was lost before the rules were there says nothing about the time after."""
_PAUSE: Final = 0.0002
_SLOW_PAUSE: Final = 0.002
"""Between two attempts while the proxy starts, which wants the core."""
_EARLY_PORTS: Final = range(16_384, 30_000)
"""Source ports of connections that may come before their Service, below those that the kernel chooses and NodePorts.

What was sent to a cluster IP that nobody translated has a conntrack entry for two minutes (SYN_SENT): a later
connection from the same port would be lost to it.
"""

Target = tuple[str, int]
"""An address and a port."""


class Reach(msgspec.Struct, tag=True):
    """Try until all targets answer; the answer is when they did."""

    targets: list[Target]
    patience: float


class Await(msgspec.Struct, tag=True):
    """Connect again and again until that endpoint answers; the answer is when it did."""

    target: Target
    endpoint: Target
    patience: float


class Connect(msgspec.Struct, tag=True):
    """Time connect() to each target in turn; the answer is a list of times for each."""

    targets: list[Target]
    count: int
    patience: float
    """Seconds after which to make do with fewer."""


class Moment(msgspec.Struct, tag=True):
    """CLOCK_MONOTONIC, in seconds; None when patience was over."""

    at: float | None


class Durations(msgspec.Struct, tag=True):
    """Seconds of each target's connections; those that failed are counted apart."""

    seconds: list[list[float]]
    failed: int


Task = Reach | Await | Connect
Answer = Moment | Durations


def _open(timeout: float) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    sock.settimeout(timeout)
    return sock


def _ask(target: Target, timeout: float, port: int = 0) -> str | None:
    """The address and port of the endpoint that answers, from a port, or any; None when none does."""
    with _open(timeout) as sock:
        try:
            if port:
                sock.bind(("", port))
            sock.connect(target)
            sock.sendall(_REQUEST)
            answer = sock.recv(4096)
        except OSError:
            return None
    return answer.rpartition(b"\r\n\r\n")[2].decode("ascii", "replace") or None


def reach(task: Reach) -> Moment:
    return _until(task, answered=True)


def leave(task: Reach) -> Moment:
    """Try until none of the targets answers; the answer is when that was so."""
    return _until(task, answered=False)


def _until(task: Reach, *, answered: bool) -> Moment:
    deadline = time.monotonic() + task.patience
    ports = itertools.cycle(_EARLY_PORTS)
    for target in task.targets:
        while (_ask(target, _SHORT_TIMEOUT, next(ports)) is not None) is not answered:
            if time.monotonic() > deadline:
                return Moment(None)
            time.sleep(_SLOW_PAUSE)
    return Moment(time.monotonic())


def await_endpoint(task: Await) -> Moment:
    wanted = f"{task.endpoint[0]}:{task.endpoint[1]}"
    deadline = time.monotonic() + task.patience
    while time.monotonic() < deadline:
        if _ask(task.target, _TIMEOUT) == wanted:
            return Moment(time.monotonic())
        time.sleep(_PAUSE)
    return Moment(None)


def connect(task: Connect) -> Durations:
    seconds: list[list[float]] = [[] for _ in task.targets]
    failed = 0
    deadline = time.monotonic() + task.patience
    for _ in range(task.count):
        for number, target in enumerate(task.targets):
            with _open(_TIMEOUT) as sock:
                begin = time.perf_counter()
                try:
                    sock.connect(target)
                except OSError:
                    failed += 1
                else:
                    seconds[number].append(time.perf_counter() - begin)
        if time.monotonic() > deadline:
            break
    return Durations(seconds, failed)


def perform(task: Task) -> Answer:
    match task:
        case Reach():
            return reach(task)
        case Await():
            return await_endpoint(task)
        case Connect():
            return connect(task)


def main(descriptor: int) -> None:
    """Work until the other end closes."""
    decoder = msgspec.json.Decoder(Task)
    with socket.socket(fileno=descriptor) as control, control.makefile("rwb") as lines:
        for line in lines:
            lines.write(msgspec.json.encode(perform(decoder.decode(line))) + b"\n")
            lines.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
