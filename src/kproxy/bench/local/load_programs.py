"""wrk and iperf3, run where the client is."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol, TypeAlias

import msgspec

from kproxy.bench.local.prober import Target

_CONNECTIONS: Final = 16
_RATE: Final = re.compile(r"Requests/sec:\s+([\d.]+)")
_LISTENING: Final = "Server listening on"
"""What iperf3's server says when it is ready."""
_START_SECONDS: Final = 20.0


class LoadError(Exception):
    """A program is missing, or could not measure; the message says which, and why."""


class Program(Protocol):
    """One that runs."""

    @property
    def returncode(self) -> int | None:
        """Its exit status; None while it runs."""

    async def wait(self) -> int:
        """Wait for its end; gives its exit status."""

    def output(self) -> str:
        """What it has written until now, the last kilobytes at least."""


Launch: TypeAlias = Callable[[list[str]], AbstractAsyncContextManager[Program]]
"""Runs a program for the length of a block."""


class _Sum(msgspec.Struct):
    bits_per_second: float


class _End(msgspec.Struct):
    sum_received: _Sum | None = None


class _Iperf(msgspec.Struct):
    end: _End = msgspec.field(default_factory=_End)
    error: str = ""


def missing() -> list[str]:
    """Programs that are not installed, with what goes unmeasured."""
    purposes = {"wrk": "requests per second", "iperf3": "throughput"}
    return [f"{name} is not installed: no {what}" for name, what in purposes.items() if shutil.which(name) is None]


async def requests_per_second(launch: Launch, target: Target, seconds: int) -> float:
    """HTTP requests, each over a connection of its own.

    Raises:
        LoadError: no wrk, or it got no answers
    """
    url = f"http://{target[0]}:{target[1]}/"
    argv = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", "-H", "Connection: close", url]
    output = await _run(launch, argv)
    found = _RATE.search(output)
    if found is None or float(found[1]) == 0:
        raise LoadError(f"wrk: {' '.join(output.split())[-200:]}")
    return float(found[1])


async def bits_per_second(client: Launch, server: Launch, target: Target, listener: Target, seconds: int) -> float:
    """One TCP stream from the client, as its receiver counts it.

    Args:
        client: where it is sent from
        server: where iperf3's server runs meanwhile; it takes one test only, as it does not listen between two
        target: where it is sent to
        listener: where the server listens; an empty address stands for all that there are
        seconds: how long

    Raises:
        LoadError: no iperf3, or no connection
    """
    argv = ["iperf3", "--json", "--client", target[0], "--port", str(target[1]), "--time", str(seconds)]
    async with _listening(server, listener):
        output = await _run(client, argv)
    try:
        result = msgspec.json.decode(output, type=_Iperf)
    except msgspec.DecodeError as error:
        raise LoadError(f"iperf3: {error}: {output[:200]}") from error
    if result.end.sum_received is None:
        raise LoadError(f"iperf3: {result.error or 'no result'}")
    return result.end.sum_received.bits_per_second


@asynccontextmanager
async def _listening(launch: Launch, listener: Target) -> AsyncIterator[None]:
    """Run iperf3's server, which says when it listens: to try by connecting would be a test, and a failed one."""
    address, port = listener
    argv = ["iperf3", "--server", "--port", str(port), "--forceflush", *(("--bind", address) if address else ())]
    _check_installed(argv[0])
    async with launch(argv) as program:
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while _LISTENING not in (said := program.output()):
            if program.returncode is not None or asyncio.get_running_loop().time() > deadline:
                raise LoadError(f"iperf3's server does not listen: {' '.join(said.split())[:200]}")
            await asyncio.sleep(0.02)
        yield


async def _run(launch: Launch, argv: list[str]) -> str:
    _check_installed(argv[0])
    async with launch(argv) as program:
        await program.wait()
        return program.output()


def _check_installed(name: str) -> None:
    if shutil.which(name) is None:
        raise LoadError(f"{name} is not installed")
