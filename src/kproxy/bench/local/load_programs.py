"""wrk and iperf3, run by the client."""

import re
import shutil
from typing import Final

import msgspec

from kproxy.bench.local.prober import Target
from kproxy.bench.local.testbed import CLIENT
from kproxy.lab.lab import Lab

_CONNECTIONS: Final = 16
_RATE: Final = re.compile(r"Requests/sec:\s+([\d.]+)")


class LoadError(Exception):
    """A program is missing, or could not measure; the message says which, and why."""


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


async def requests_per_second(lab: Lab, target: Target, seconds: int) -> float:
    """HTTP requests, each over a connection of its own.

    Raises:
        LoadError: no wrk, or it got no answers
    """
    url = f"http://{target[0]}:{target[1]}/"
    argv = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", "-H", "Connection: close", url]
    output = await _run(lab, argv)
    found = _RATE.search(output)
    if found is None or float(found[1]) == 0:
        raise LoadError(f"wrk: {' '.join(output.split())[-200:]}")
    return float(found[1])


async def bits_per_second(lab: Lab, target: Target, seconds: int) -> float:
    """One TCP stream from the client, as its receiver counts it.

    Raises:
        LoadError: no iperf3, or no connection
    """
    argv = ["iperf3", "--json", "--client", target[0], "--port", str(target[1]), "--time", str(seconds)]
    output = await _run(lab, argv)
    try:
        result = msgspec.json.decode(output, type=_Iperf)
    except msgspec.DecodeError as error:
        raise LoadError(f"iperf3: {error}: {output[:200]}") from error
    if result.end.sum_received is None:
        raise LoadError(f"iperf3: {result.error or 'no result'}")
    return result.end.sum_received.bits_per_second


async def _run(lab: Lab, argv: list[str]) -> str:
    if shutil.which(argv[0]) is None:
        raise LoadError(f"{argv[0]} is not installed")
    async with lab.process(CLIENT, argv) as process:
        await process.wait()
        return process.output()
