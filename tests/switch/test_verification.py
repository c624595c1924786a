"""A new mode is believed once it has synced, and kproxy is left to remove the old one's rules itself."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from kproxy.kernel.processes import run_blocking
from kproxy.switch.plan import SwitchError
from kproxy.switch.verification import Verification

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("network_namespace")]

PORT = 10249
VERIFICATION = Verification(f"127.0.0.1:{PORT}", f"127.0.0.1:{PORT}")


class Proxy:
    """What a proxy says of itself."""

    def __init__(self) -> None:
        self.last_sync = 0.0
        self.more_metrics = ""

    async def proxy_mode(self, _: web.Request) -> web.Response:
        return web.Response(text="iptables")

    async def healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def metrics(self, _: web.Request) -> web.Response:
        name = 'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"}'
        return web.Response(text=f"{name} {self.last_sync}\n{self.more_metrics}")


@pytest.fixture
async def proxy(network_namespace: None) -> AsyncIterator[Proxy]:
    run("ip", "link", "set", "lo", "up")
    made = Proxy()
    app = web.Application()
    app.router.add_get("/proxyMode", made.proxy_mode)
    app.router.add_get("/healthz", made.healthz)
    app.router.add_get("/metrics", made.metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    yield made
    await runner.cleanup()


def run(*argv: str) -> None:
    run_blocking(argv, time_limit=10)


async def test_a_sync_before_the_restart_tells_nothing(proxy: Proxy) -> None:
    proxy.last_sync = time.time()
    since = time.time()
    with pytest.raises(SwitchError, match="the last sync was before the restart"):
        await VERIFICATION.serves("iptables", [], since, 0.3)
    asyncio.get_running_loop().call_later(0.3, setattr, proxy, "last_sync", since + 1)
    assert "healthy" in await VERIFICATION.serves("iptables", [], since, 20)


async def test_another_mode(proxy: Proxy) -> None:
    with pytest.raises(SwitchError, match="/proxyMode answers iptables"):
        await VERIFICATION.serves("ipvs", [], 0.0, 0.3)


async def test_kproxy_is_given_the_time_to_remove_the_old_rules(proxy: Proxy) -> None:
    run("nft", "add", "table", "ip", "kube-proxy")
    waiting = asyncio.create_task(VERIFICATION.leftovers(20))
    done, _ = await asyncio.wait([waiting], timeout=0.5)
    assert not done
    run("nft", "delete", "table", "ip", "kube-proxy")
    assert (await waiting).modes == set()


async def test_kproxy_that_does_not_remove_them(proxy: Proxy) -> None:
    run("nft", "add", "table", "ip", "kube-proxy")
    left = await VERIFICATION.leftovers(0.3)
    assert (left.modes, left.proxys) == ({"nftables"}, True)


async def test_others_rules_are_removed_for_them(proxy: Proxy) -> None:
    """A kube-proxy's, and those that kproxy found after it had started."""
    run("nft", "add", "table", "ip", "kube-proxy")
    assert not (await VERIFICATION.leftovers(0)).proxys
    proxy.more_metrics = "go_goroutines 1\n"
    left = await asyncio.wait_for(VERIFICATION.leftovers(60), 20)
    assert (left.modes, left.proxys) == ({"nftables"}, False)
