"""What the userspace benchmark measures, through any contender."""

import contextlib
import select
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kproxy.bench.userspace_contenders import BenchmarkError

_CHUNK = bytes(1 << 20)
_MESSAGE = bytes(1024)
_CONNECTIONS = 20
"""Over which requests are spread."""
_PATIENCE = 20.0


def throughput(port: int, seconds: float) -> float:
    """Bytes per second of one stream, until the endpoint has them all."""
    with socket.create_connection(("127.0.0.1", port)) as stream:
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            stream.sendall(_CHUNK)
        stream.shutdown(socket.SHUT_WR)
        count = int.from_bytes(stream.recv(8), "big")
        return count / (time.perf_counter() - begin)


def connection_rate(port: int, seconds: int) -> float:
    """Connections per second, each with one HTTP request, from 50 clients at once (wrk).

    Raises:
        BenchmarkError: wrk is not installed, or requests failed
    """
    url = f"http://127.0.0.1:{port}/"
    arguments = ["wrk", "--threads", "1", "--connections", "50", "--duration", f"{seconds}s"]
    try:
        run = subprocess.run(
            [*arguments, "--header", "Connection: close", url], check=True, capture_output=True, text=True
        )
    except OSError as error:
        raise BenchmarkError(f"wrk cannot be run ({error.strerror}): install Debian's package wrk") from error
    except subprocess.CalledProcessError as error:
        raise BenchmarkError(f"wrk failed: {error.stderr}") from error
    if "Socket errors" in run.stdout or "Non-2xx" in run.stdout:
        raise BenchmarkError(f"requests failed:\n{run.stdout}")
    return float(run.stdout.partition("Requests/sec:")[2].split()[0])


class Latency(NamedTuple):
    """Seconds, from when a request was due to its answer."""

    median: float
    p99: float


def latency(port: int, rate: int, seconds: float) -> Latency:
    """Send 1 KiB at a fixed rate, whether or not earlier requests were answered, and await as much each time."""
    with contextlib.ExitStack() as stack:
        sockets: dict[int, socket.socket] = {}
        for _ in range(_CONNECTIONS):
            opened = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sockets[opened.fileno()] = opened
        order = list(sockets.values())
        awaited: dict[int, list[float]] = {descriptor: [] for descriptor in sockets}
        received = dict.fromkeys(sockets, 0)
        measured: list[float] = []
        total, sent = int(rate * seconds), 0
        begin = time.perf_counter() + 0.01
        while len(measured) < total:
            now = time.perf_counter()
            due = begin + sent / rate
            if sent < total and now >= due:
                chosen = order[sent % _CONNECTIONS]
                chosen.sendall(_MESSAGE)
                awaited[chosen.fileno()].append(due)
                sent += 1
                continue
            # Unlike epoll, whose time is in milliseconds, select wakes up when the next request is due.
            patience = max(0.0, due - now) if sent < total else _PATIENCE
            readable, _, _ = select.select(list(sockets), (), (), patience)
            for descriptor in readable:
                received[descriptor] += len(sockets[descriptor].recv(1 << 16))
                while received[descriptor] >= len(_MESSAGE):
                    received[descriptor] -= len(_MESSAGE)
                    measured.append(time.perf_counter() - awaited[descriptor].pop(0))
            if now - begin > seconds + _PATIENCE:
                raise BenchmarkError(f"{total - len(measured)} requests were not answered")
    measured.sort()
    return Latency(measured[len(measured) // 2], measured[len(measured) * 99 // 100])


def idle_memory(port: int, count: int, pids: Sequence[int]) -> int:
    """Bytes resident in all processes of a contender while connections are open that have each been used once."""
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE))
            connection.sendall(b"x")
            opened.append(connection)
        for connection in opened:
            if connection.recv(1) != b"x":
                raise BenchmarkError("a connection was not forwarded")
        return sum(_resident(pid) for pid in pids)


def _resident(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024
