"""The HTTP applications: health for load balancers and probes, metrics for the cluster's monitoring.

Answers are those of kube-proxy to the byte, but for times and the values of metrics.
"""

import json
from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from kproxy.config import KubeProxyConfiguration
from kproxy.config.dump import to_configz
from kproxy.node.health import ProxyHealth
from kproxy.node.metrics import Metrics

_JSON = {"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


def health_app(health: ProxyHealth, metrics: Metrics) -> web.Application:
    """`/healthz` and `/livez`."""

    def handler(count: Callable[[str], None], *, eligibility: bool) -> Callable[[web.Request], web.Response]:
        def answer(_: web.Request) -> web.Response:
            healthy, body = health.report(eligibility=eligibility)
            status = 200 if healthy else 503
            count(str(status))
            return web.Response(status=status, body=_compact(body), headers=_JSON)

        return answer

    app = _application()
    _route(app, "/healthz", handler(lambda code: metrics.healthz.labels(code).inc(), eligibility=True))
    _route(app, "/livez", handler(lambda code: metrics.livez.labels(code).inc(), eligibility=False))
    _route(app, "/{anything:.*}", _not_found)
    return app


def metrics_app(
    metrics: Metrics,
    configuration: Callable[[], KubeProxyConfiguration],
    install: Callable[[web.Application], None] = lambda app: None,
) -> web.Application:
    """`/metrics`, `/proxyMode`, `/configz` and `/healthz`.

    Args:
        metrics: to show
        configuration: gives the one in effect
        install: adds further paths
    """

    def show_metrics(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    def show_configuration(_: web.Request) -> web.Response:
        return web.Response(body=to_configz(configuration()), headers=_JSON)

    app = _application()
    _route(app, "/metrics", show_metrics)
    _route(app, "/proxyMode", lambda _: web.Response(body=configuration().mode.encode(), headers=_TEXT))
    _route(app, "/configz", show_configuration)
    _route(app, "/healthz", lambda _: web.Response(body=b"ok", headers=_TEXT))
    install(app)
    _route(app, "/{anything:.*}", _not_found)
    return app


def _application() -> web.Application:
    app = web.Application()
    app.on_response_prepare.append(_without_server)
    return app


async def _without_server(_: web.Request, response: web.StreamResponse) -> None:
    """Which software answers, in which version, is not for everybody who can reach the port."""
    response.headers.popall("Server", None)


def _route(app: web.Application, path: str, answer: Callable[[web.Request], web.Response]) -> None:
    """Answer any method, as Go's servers do."""

    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    app.router.add_route("*", path, handle)


def _not_found(_: web.Request) -> web.Response:
    return web.Response(status=404, body=b"404 page not found\n", headers=_TEXT)


def _compact(body: dict[str, object]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
