"""The HTTP servers: health for load balancers and probes, metrics for the cluster's monitoring."""

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from kproxy.node.health import ProxyHealth
from kproxy.node.metrics import Metrics

log = logging.getLogger(__name__)


class BindAddress(NamedTuple):
    host: str
    port: int


def health_app(health: ProxyHealth, metrics: Metrics) -> web.Application:
    """`/healthz` and `/livez`."""

    def handler(count: Callable[[str], None], *, eligibility: bool) -> Callable[[web.Request], web.Response]:
        def answer(_: web.Request) -> web.Response:
            healthy, body = health.report(eligibility=eligibility)
            status = 200 if healthy else 503
            count(str(status))
            return web.Response(
                status=status,
                body=json.dumps(body).encode(),
                headers={"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"},
            )

        return answer

    app = web.Application()
    app.router.add_get("/healthz", _async(handler(lambda c: metrics.healthz.labels(c).inc(), eligibility=True)))
    app.router.add_get("/livez", _async(handler(lambda c: metrics.livez.labels(c).inc(), eligibility=False)))
    return app


def metrics_app(metrics: Metrics, mode: str, configuration: Callable[[], bytes]) -> web.Application:
    """`/metrics`, `/proxyMode`, `/configz` and `/healthz`.

    Args:
        metrics: to show
        mode: the proxy mode's name
        configuration: gives the effective configuration as JSON
    """

    def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def show_configuration(_: web.Request) -> web.Response:
        body = b'{"kubeproxy.config.k8s.io":' + configuration() + b"}"
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/metrics", _async(show_metrics))
    app.router.add_get("/proxyMode", _async(lambda _: web.Response(text=mode)))
    app.router.add_get("/configz", _async(show_configuration))
    app.router.add_get("/healthz", _async(lambda _: web.Response(text="ok")))
    return app


def _async(answer: Callable[[web.Request], web.Response]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    return handle


class HttpServers:
    """Applications on their addresses."""

    def __init__(self) -> None:
        self._runners: list[web.AppRunner] = []

    async def serve(self, app: web.Application, addresses: Sequence[BindAddress]) -> None:
        """Serve an application.

        Raises:
            OSError: an address cannot be bound
        """
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        for host, port in addresses:
            await web.TCPSite(runner, host, port).start()

    async def close(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
