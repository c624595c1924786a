"""When the proxy is healthy, and what it answers then, to the byte."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from kproxy.config import parse_command_line
from kproxy.config.dump import to_configz
from kproxy.node.health import TO_BE_DELETED_TAINT, ProxyHealth
from kproxy.node.http import health_app, metrics_app
from kproxy.node.metrics import Metrics
from kproxy.services.addresses import Family
from kproxy.services.objects import Node, NodeSpec, ObjectMeta, Taint
from tests.node.clocks import Clock

PERIOD = 30.0
NODE = Node(ObjectMeta("here"))
LEAVING = Node(ObjectMeta("here"), NodeSpec(taints=[Taint("other"), Taint(TO_BE_DELETED_TAINT)]))
DELETED = Node(ObjectMeta("here", deletion_timestamp="2026-01-01T00:00:00Z"))


class Health:
    """A proxy's health and its clocks."""

    def __init__(self) -> None:
        self.wall, self.monotonic = Clock(1_763_816_759.12345), Clock(1000.0)
        self.proxy = ProxyHealth(tuple(Family), PERIOD, self.wall, self.monotonic)

    def advance(self, seconds: float) -> None:
        self.wall.advance(seconds)
        self.monotonic.advance(seconds)

    def healthy(self) -> bool:
        return self.proxy.healthy

    def lagging(self) -> bool:
        return self.proxy.lagging

    def sync(self) -> None:
        for family in Family:
            self.proxy.updated(family)


@pytest.fixture
def health() -> Health:
    return Health()


def test_it_is_unhealthy_until_every_family_is_programmed(health: Health) -> None:
    assert not health.healthy()
    health.proxy.updated(Family.IPV6)
    assert not health.healthy()
    health.proxy.updated(Family.IPV4)
    assert health.healthy()


def test_before_the_first_list_nothing_lags_however_long_the_api_is_away(health: Health) -> None:
    health.advance(3600)
    assert not health.lagging()
    health.proxy.queued()
    health.advance(2 * PERIOD)
    assert health.lagging()


def test_a_change_may_wait_for_twice_the_sync_period(health: Health) -> None:
    health.sync()
    health.advance(1000)
    assert health.healthy()
    health.proxy.queued()
    health.advance(2 * PERIOD - 0.001)
    health.proxy.queued()  # a later change does not make the older one younger
    assert health.healthy()
    health.advance(0.001)
    assert not health.healthy()
    health.proxy.updated(Family.IPV4)
    assert health.proxy.is_healthy(Family.IPV4)
    assert not health.proxy.is_healthy(Family.IPV6)
    assert not health.healthy()
    health.proxy.updated(Family.IPV6)
    assert health.healthy()


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_a_clock_that_is_set_changes_nothing(health: Health, jump: float) -> None:
    health.sync()
    health.proxy.queued()
    health.advance(PERIOD)
    health.wall.advance(jump)
    assert health.healthy()
    health.monotonic.advance(PERIOD)
    assert not health.healthy()


def test_a_node_that_leaves_is_not_eligible(health: Health) -> None:
    seen = []
    for node in (None, NODE, LEAVING, NODE, DELETED, NODE, None, NODE):
        health.proxy.see_node(node)
        seen.append(health.proxy.node_eligible)
    assert seen == [True, True, False, True, False, True, False, True]


@pytest.fixture
async def probe(health: Health) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(health_app(health.proxy, Metrics()))) as client:
        yield client


async def test_healthz_to_the_byte(health: Health, probe: TestClient[Any, Any]) -> None:
    health.sync()
    health.advance(1.27655)
    answer = await probe.get("/healthz")
    assert answer.status == 200
    assert await answer.read() == (
        b'{"lastUpdated":"2025-11-22T13:06:00.4Z","currentTime":"2025-11-22T13:06:00.4Z","nodeEligible":true,'
        b'"healthy":true,"status":{"IPv4":{"lastUpdated":"2025-11-22T13:05:59.12345Z","healthy":true},'
        b'"IPv6":{"lastUpdated":"2025-11-22T13:05:59.12345Z","healthy":true}}}'
    )
    assert {name: value for name, value in answer.headers.items() if name != "Date"} == {
        "Content-Type": "application/json",
        "X-Content-Type-Options": "nosniff",
        "Content-Length": "259",
    }


async def test_on_a_node_that_leaves_only_healthz_is_503(health: Health, probe: TestClient[Any, Any]) -> None:
    health.sync()
    health.proxy.see_node(LEAVING)
    health.advance(0.87655)
    answer = await probe.get("/healthz")
    assert answer.status == 503
    body = await answer.json()
    assert (body["nodeEligible"], body["healthy"]) == (False, True)
    assert (body["lastUpdated"], body["currentTime"]) == ("2025-11-22T13:05:59.12345Z", "2025-11-22T13:06:00Z")
    answer = await probe.get("/livez")
    assert answer.status == 200
    assert list(await answer.json()) == ["lastUpdated", "currentTime", "healthy", "status"]


async def test_a_proxy_that_starts_is_alive_but_gets_no_traffic_yet(
    health: Health, probe: TestClient[Any, Any]
) -> None:
    for path, status in (("/healthz", 503), ("/livez", 200)):
        answer = await probe.get(path)
        assert answer.status == status
        of_family = {"lastUpdated": "0001-01-01T00:00:00Z", "healthy": status == 200}
        assert (await answer.json())["status"]["IPv4"] == of_family
    health.proxy.queued()
    health.advance(2 * PERIOD)
    assert (await probe.get("/livez")).status == 503, "it cannot program anything"


async def test_a_proxy_that_lags_says_since_when(health: Health, probe: TestClient[Any, Any]) -> None:
    health.sync()
    health.proxy.queued()
    health.advance(2 * PERIOD)
    health.proxy.updated(Family.IPV6)
    for path in ("/healthz", "/livez"):
        answer = await probe.get(path)
        assert answer.status == 503
        body = await answer.json()
        assert body["healthy"] is False
        assert body["lastUpdated"] == body["status"]["IPv6"]["lastUpdated"] == "2025-11-22T13:06:59.12345Z"
        assert body["status"]["IPv4"] == {"lastUpdated": "2025-11-22T13:05:59.12345Z", "healthy": False}


async def test_any_method_and_no_other_path(health: Health, probe: TestClient[Any, Any]) -> None:
    health.sync()
    assert (await probe.post("/healthz")).status == 200
    answer = await probe.head("/healthz")
    assert (answer.status, await answer.read()) == (200, b"")
    answer = await probe.get("/other")
    assert (answer.status, await answer.read()) == (404, b"404 page not found\n")


async def test_answers_are_counted() -> None:
    metrics = Metrics()
    health = Health()
    async with TestClient(TestServer(health_app(health.proxy, metrics))) as probe:
        await probe.get("/healthz")
        health.sync()
        await probe.get("/healthz")
        await probe.get("/livez")
    text = metrics.text().decode()
    for line in (
        'kubeproxy_proxy_healthz_total{code="503"} 1.0',
        'kubeproxy_proxy_healthz_total{code="200"} 1.0',
        'kubeproxy_proxy_livez_total{code="200"} 1.0',
    ):
        assert line in text


async def test_the_metrics_address() -> None:
    configuration = parse_command_line(["--proxy-mode=nftables"]).configuration
    async with TestClient(TestServer(metrics_app(Metrics(), lambda: configuration))) as client:
        answer = await client.get("/proxyMode")
        assert (answer.status, await answer.read()) == (200, b"nftables")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        answer = await client.get("/healthz")
        assert (answer.status, await answer.read()) == (200, b"ok")
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        answer = await client.get("/configz")
        assert await answer.read() == to_configz(configuration)
        assert answer.headers["Content-Type"] == "application/json"
        answer = await client.get("/metrics")
        assert answer.status == 200
        assert "Server" not in answer.headers
        assert (await client.get("/debug/pprof/")).status == 404
