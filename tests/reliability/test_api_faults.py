"""An API server that is away, storms or dribbles: nothing of it reaches the kernel, and it costs next to nothing."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kproxy.lab.process import Process, start
from tests.daemon.node import BIN, Node, endpoint_slice
from tests.reliability.faked_time import fast, needs_libfaketime
from tests.reliability.relay import Relay
from tests.reliability.served_lab import report

pytestmark = pytest.mark.root

_GONE = json.dumps({"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}).encode()
GONE = b"HTTP/1.1 410 Gone\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (
    len(_GONE),
    _GONE,
)


@asynccontextmanager
async def proxy(here: Node, *arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Process]:
    """Run `kube-proxy` until the block ends, and see it synced at its beginning."""
    argv = [str(BIN / "kube-proxy"), "--config", here.configuration(), "-v=2", *arguments]
    async with start(here.namespace, argv, env) as process:
        await here.eventually(lambda: "Compared IPv6" in process.output(), process)
        yield process


@needs_libfaketime
async def test_an_hour_without_the_api(here: Node) -> None:
    speed = 1000
    async with proxy(here, env=fast(speed)) as process:
        before, resident, busy = here.nft.generation(), _resident_kib(process), _cpu_seconds(process)
        await here.stop_api()
        here.store.apply(endpoint_slice("web", "10.244.1.7"))
        await asyncio.sleep(3600 / speed)
        health = [(await here.get(path, 10256))[0] for path in ("/healthz", "/livez")]
        attempts = await _metric(here, r'rest_client_requests_total{code="<error>".*}')
        busy = _cpu_seconds(process) - busy
        assert health == [200, 200]
        assert here.nft.generation() == before
        assert 3 * 3600 / 60 < attempts < 3 * 3600 / 10, "now and then, not all the time"
        warnings = [line for line in process.output().splitlines() if line.startswith(("W", "E"))]
        assert len(warnings) < 100
        grown = _resident_kib(process) - resident
        assert grown < 16384, "what the garbage collector, which comes after 100,000 objects, may find"
        report(
            f"an hour without the API: {attempts:.0f} attempts, {busy:.2f} s of CPU, {len(warnings)} warnings, "
            f"{grown:+d} KiB"
        )
        await here.start_api()
        await here.eventually(lambda: "10.244.1.7" in here.table(), process)


async def test_a_storm_of_410(here: Node) -> None:
    relay = Relay(here.namespace, here.port)
    async with relay.running(), proxy(here, "--master", relay.url) as process:
        before = here.nft.generation()
        relay.refusal = GONE
        relay.requests = 0
        relay.cut()
        here.store.apply(endpoint_slice("web", "10.244.1.7"))
        await asyncio.sleep(3)
        requests = relay.requests
        assert 6 <= requests < 60
        assert here.nft.generation() == before
        assert (await here.get("/healthz", 10256))[0] == 200
        relay.refusal = b""
        await here.eventually(lambda: "10.244.1.7" in here.table(), process)
        assert here.nft.generation() == before + 1
        report(f"3 s of 410 Gone to everything: {requests} requests")


async def test_an_api_at_a_byte_a_second(here: Node) -> None:
    relay = Relay(here.namespace, here.port)
    async with relay.running(), proxy(here, "--master", relay.url) as process:
        before = here.nft.generation()
        relay.slow.set()
        relay.requests = 0
        relay.cut()
        here.store.apply(endpoint_slice("web", "10.244.1.7"))
        await here.eventually(lambda: relay.requests >= 3, process)
        begin = asyncio.get_running_loop().time()
        assert (await here.get("/healthz", 10256))[0] == 200
        assert asyncio.get_running_loop().time() - begin < 1
        await asyncio.sleep(1.5)
        assert relay.requests < 20
        assert here.nft.generation() == before
        relay.slow.clear()
        await here.eventually(lambda: "10.244.1.7" in here.table(), process)


async def test_a_start_beside_a_dead_api_leaves_the_rules(here: Node) -> None:
    async with proxy(here):
        pass
    before, table = here.nft.generation(), here.table()
    await here.stop_api()
    argv = [str(BIN / "kube-proxy"), "--config", here.configuration(), "-v=2"]
    async with start(here.namespace, argv) as process:
        await here.eventually(lambda: process.output().count("Connect call failed") >= 3, process)
        health, alive = [(await here.get(path, 10256))[0] for path in ("/healthz", "/livez")]
        report(f"a start without an API: /healthz {health}, /livez {alive}")
        assert here.nft.generation() == before
        await here.start_api()
        await here.eventually(lambda: "Compared IPv6" in process.output(), process)
        assert here.nft.generation() == before
        assert here.table() == table


async def _metric(here: Node, pattern: str) -> float:
    _, text = await here.get("/metrics")
    return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE))


def _cpu_seconds(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_kib(process: Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found
    return int(found[1])
