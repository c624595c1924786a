"""Health check node ports, asked over real sockets."""

import asyncio
import contextlib
import errno
import itertools
import json
import resource
import socket
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import aiohttp
import pytest

from kproxy.node import listening
from kproxy.node.service_health import ServiceHealth, count_local_ready
from kproxy.services.addresses import parse_address
from kproxy.services.model import ServiceName
from kproxy.services.slices import pack
from tests.services.builders import endpoint, slice_of

WEB, MAIL = ServiceName("default", "web"), ServiceName("default", "mail")


class Answer(NamedTuple):
    status: int
    local_endpoints: int
    service: str


class Health:
    """The ports, and what they reported."""

    def __init__(self) -> None:
        self.proxy_is_healthy = True
        self.failures: list[tuple[ServiceName, int, str]] = []
        self.ports = ServiceHealth(lambda: self.proxy_is_healthy, on_failure=lambda *f: self.failures.append(f))
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))

    async def ask(self, port: int, host: str = "127.0.0.1") -> Answer | None:
        """What a port answers; None when nobody listens."""
        try:
            async with self.http.get(f"http://{host}:{port}/any/path") as response:
                body = await response.json()
                service = body["service"]
                return Answer(response.status, body["localEndpoints"], f"{service['namespace']}/{service['name']}")
        except aiohttp.ClientConnectorError:
            return None

    async def expect(self, port: int, answer: Answer | None, host: str = "127.0.0.1") -> None:
        """Wait until a port answers that way."""
        await until(lambda: self.ask(port, host), answer)


async def until(ask: Callable[[], object], wanted: object) -> None:
    async with asyncio.timeout(5):
        while True:
            found = ask()
            if asyncio.iscoroutine(found):
                found = await found
            if found == wanted:
                return
            await asyncio.sleep(0.005)


@pytest.fixture
async def health() -> AsyncIterator[Health]:
    made = Health()
    running = asyncio.create_task(made.ports.run())
    yield made
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await made.http.close()


_candidates = itertools.cycle(range(20_000, 30_000))  # below what the kernel gives to clients


def free_ports(count: int) -> list[int]:
    free: list[int] = []
    for port in _candidates:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            free.append(port)
        if len(free) == count:
            break
    return free


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


async def test_the_answer_to_the_byte(health: Health, port: int) -> None:
    health.ports.update(WEB, port, 2)
    await health.expect(port, Answer(200, 2, "default/web"))
    async with health.http.get(f"http://127.0.0.1:{port}/") as response:
        body = await response.read()
        headers = response.headers
    assert body == (
        b'{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t},\n'
        b'\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}'
    )
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Load-Balancing-Endpoint-Weight"] == "2"


async def test_without_local_endpoints_or_a_healthy_proxy_it_is_503(health: Health, port: int) -> None:
    health.ports.update(WEB, port, 0)
    await health.expect(port, Answer(503, 0, "default/web"))
    health.ports.update(WEB, port, 1)
    assert await health.ask(port) == Answer(200, 1, "default/web")
    health.proxy_is_healthy = False
    async with health.http.get(f"http://127.0.0.1:{port}/") as response:
        assert response.status == 503
        assert json.loads(await response.read())["serviceProxyHealthy"] is False
        assert response.headers["X-Load-Balancing-Endpoint-Weight"] == "1"


async def test_it_answers_in_both_families(health: Health, port: int) -> None:
    health.ports.update(WEB, port, 1)
    await health.expect(port, Answer(200, 1, "default/web"))
    await health.expect(port, Answer(200, 1, "default/web"), "[::1]")


async def test_a_port_moves_and_goes_with_its_service(health: Health) -> None:
    first, second = free_ports(2)
    health.ports.update(WEB, first, 1)
    await health.expect(first, Answer(200, 1, "default/web"))
    health.ports.update(WEB, second, 1)
    await health.expect(second, Answer(200, 1, "default/web"))
    await health.expect(first, None)
    health.ports.update(WEB, 0, 0)
    await health.expect(second, None)
    health.ports.update(WEB, 0, 0)
    assert health.failures == []


async def test_a_busy_port_is_told_once_and_taken_when_free(health: Health, port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        health.ports.update(WEB, port, 1)
        await until(lambda: len(health.failures), 1)
        await asyncio.sleep(0.35)  # two retries
    await health.expect(port, Answer(200, 1, "default/web"))
    ((name, failed, reason),) = health.failures
    assert (name, failed) == (WEB, port)
    assert reason == f"cannot listen on :: port {port}: Address already in use"


async def test_of_two_services_with_one_port_the_first_has_it(health: Health, port: int) -> None:
    health.ports.update(WEB, port, 1)
    health.ports.update(MAIL, port, 3)
    assert health.failures == [(MAIL, port, "the port belongs to Service default/web")]
    await health.expect(port, Answer(200, 1, "default/web"))
    health.ports.update(MAIL, port, 4)
    assert len(health.failures) == 1
    health.ports.update(WEB, 0, 0)
    assert await health.ask(port) == Answer(200, 4, "default/mail")


async def test_addresses_come_and_go(health: Health, port: int) -> None:
    health.ports.set_addresses([b"\x7f\0\0\1"])
    health.ports.update(WEB, port, 1)
    await health.expect(port, Answer(200, 1, "default/web"))
    assert await health.ask(port, "127.0.0.2") is None
    health.ports.set_addresses([b"\x7f\0\0\2", parse_address("::1") or b""])
    await health.expect(port, Answer(200, 1, "default/web"), "127.0.0.2")
    await health.expect(port, Answer(200, 1, "default/web"), "[::1]")
    await health.expect(port, None)
    health.ports.set_addresses(None)
    await health.expect(port, Answer(200, 1, "default/web"))
    health.ports.set_addresses([])
    await health.expect(port, None)
    assert health.failures == []


async def test_an_address_that_is_not_there_does_not_stop_the_others(health: Health, port: int) -> None:
    health.ports.set_addresses([b"\xc0\0\2\1", b"\x7f\0\0\1"])
    health.ports.update(WEB, port, 1)
    await health.expect(port, Answer(200, 1, "default/web"))
    ((_, _, reason),) = health.failures
    assert reason == f"cannot listen on 192.0.2.1 port {port}: Cannot assign requested address"


async def test_a_kernel_without_ipv6(health: Health, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = listening._bound

    def without_ipv6(family: socket.AddressFamily, address: bytes, port: int, *, only_ipv6: bool) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return bound(family, address, port, only_ipv6=only_ipv6)

    monkeypatch.setattr(listening, "_bound", without_ipv6)
    health.ports.update(WEB, port, 1)
    await health.expect(port, Answer(200, 1, "default/web"))
    assert await health.ask(port, "[::1]") is None


async def test_a_thousand_services_are_one_task(health: Health) -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    ports = free_ports(min(1000, soft // 3))
    before = len(asyncio.all_tasks())
    for number, port in enumerate(ports):
        health.ports.update(ServiceName("default", f"s{number}"), port, 1)
    await health.expect(ports[-1], Answer(200, 1, f"default/s{len(ports) - 1}"))
    await health.expect(ports[0], Answer(200, 1, "default/s0"))
    assert len(asyncio.all_tasks()) == before
    assert health.failures == []


def test_local_endpoints_are_counted_by_address_and_only_when_ready() -> None:
    here, there = {"nodeName": "here"}, {"nodeName": "there"}
    two_ports = slice_of(
        "web",
        endpoint("10.0.0.1", **here),
        endpoint("10.0.0.2", **there),
        endpoint("10.0.0.3", ready=False, serving=True, terminating=True, **here),
        ports=(("http", 80), ("admin", 81)),
    )
    again = slice_of("web", endpoint("10.0.0.1", **here), endpoint("10.0.0.4", **here), name="web-2")
    six = slice_of("web", endpoint("fd00::1", **here), name="web-6", family="IPv6")
    without_ports = slice_of("web", endpoint("10.0.0.5", **here), name="web-3", ports=())
    packed = [pack(slice_, "here")[0] for slice_ in (two_ports, again, six, without_ports)]
    assert count_local_ready(slice_ for slice_ in packed if slice_) == 2
    assert count_local_ready(()) == 0
