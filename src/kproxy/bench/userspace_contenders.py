"""What the userspace benchmark compares: endpoints reached directly, through HAProxy, and through our workers."""

import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

BULK, ECHO, WEB = "bulk", "echo", "web"
ENDPOINTS = {BULK: 9001, ECHO: 9002, WEB: 9003}
"""Ports of 127.0.0.1. `bulk` reads all there is and says how much, `echo` answers what it is sent, `web` is HTTP."""
_HAPROXY_PORTS = {BULK: 9101, ECHO: 9102, WEB: 9103}
_MAX_CONNECTIONS = 9_000
_PATIENCE = 15.0
_TIMEOUTS = "  timeout connect 5s\n  timeout client 10m\n  timeout server 10m\n"


class Contender(NamedTuple):
    name: str
    ports: Mapping[str, int]
    """Where each endpoint is reached through it."""
    pids: Sequence[int] = ()


class BenchmarkError(OSError):
    """A program that the benchmark needs is missing, or did not start."""


@contextlib.contextmanager
def endpoints() -> Iterator[Contender]:
    """Start the endpoints in this thread's network namespace."""
    web = f"global\n  nbthread 1\n  maxconn {_MAX_CONNECTIONS}\ndefaults\n  mode http\n{_TIMEOUTS}"
    web += f"frontend web\n  bind 127.0.0.1:{ENDPOINTS[WEB]}\n"
    web += "  http-request return status 200 content-type text/plain string ok\n"
    peers = [sys.executable, "-m", "kproxy.bench.userspace_peers", str(ENDPOINTS[BULK]), str(ENDPOINTS[ECHO])]
    with _haproxy(web), _running(peers, ENDPOINTS.values()):
        yield Contender("direct", ENDPOINTS)


@contextlib.contextmanager
def haproxy(threads: int) -> Iterator[Contender]:
    """Start HAProxy in TCP mode."""
    text = f"global\n  nbthread {threads}\n  maxconn {_MAX_CONNECTIONS}\ndefaults\n  mode tcp\n{_TIMEOUTS}"
    for name, port in _HAPROXY_PORTS.items():
        text += f"listen {name}\n  bind 127.0.0.1:{port}\n  server endpoint 127.0.0.1:{ENDPOINTS[name]}\n"
    with _haproxy(text, _HAPROXY_PORTS.values()) as pid:
        yield Contender(f"HAProxy, {threads} threads" if threads > 1 else "HAProxy, 1 thread", _HAPROXY_PORTS, [pid])


@contextlib.contextmanager
def ours(workers: int) -> Iterator[Contender]:
    """Start userspace mode without redirection, as its own process."""
    arguments = [sys.executable, "-m", "kproxy.bench.userspace_proxy", str(workers), json.dumps(ENDPOINTS)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise BenchmarkError("userspace mode did not start")
            started = json.loads(line)
            name = f"kproxy, {workers} workers" if workers > 1 else "kproxy, 1 worker"
            yield Contender(name, started["ports"], [process.pid, *started["pids"]])
        finally:
            process.terminate()


def descriptors() -> int:
    """How many a process may have here."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def haproxy_version() -> str:
    """The first line of what it says of itself.

    Raises:
        BenchmarkError: it is not installed
    """
    try:
        output = subprocess.run(["haproxy", "-v"], check=True, capture_output=True, text=True).stdout
    except OSError as error:
        raise BenchmarkError(f"haproxy cannot be run ({error.strerror}): install Debian's package haproxy") from error
    return output.splitlines()[0].partition(" - ")[0]


@contextlib.contextmanager
def _haproxy(configuration: str, ports: Iterable[int] = ()) -> Iterator[int]:
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        file.write(configuration)
        file.flush()
        with _running(["haproxy", "-db", "-f", file.name], ports) as pid:
            yield pid


@contextlib.contextmanager
def _running(arguments: Sequence[str], ports: Iterable[int]) -> Iterator[int]:
    """Run a program until the end of the block, once all the ports are open."""
    try:
        process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    except OSError as error:
        raise BenchmarkError(f"{Path(arguments[0]).name} cannot be run: {error.strerror}") from error
    with process:
        try:
            _wait_for(process, list(ports))
            yield process.pid
        finally:
            process.terminate()


def _wait_for(process: "subprocess.Popen[bytes]", ports: Sequence[int]) -> None:
    listening = {f":{port:04X}" for port in ports}
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise BenchmarkError(f"a program that the benchmark needs ended with status {process.returncode}")
        rows = [line.split() for line in Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]]
        if listening <= {row[1][8:] for row in rows if row[3] == "0A"}:
            return
        time.sleep(0.02)
    raise BenchmarkError("the programs that the benchmark needs did not open their ports in time")
