"""The HTTP servers of health and metrics, at the addresses that the configuration gives them."""

from collections.abc import Callable

from aiohttp import web

from kproxy.config import KubeProxyConfiguration
from kproxy.config.addresses import parse_endpoint
from kproxy.config.reload import Part
from kproxy.node import events
from kproxy.node.events import Event
from kproxy.node.health import ProxyHealth
from kproxy.node.http import health_app, metrics_app
from kproxy.node.http_server import HttpServer
from kproxy.node.metrics import Metrics
from kproxy.node.profiling import install_profiling


class Servers:
    """Each can be replaced without the other."""

    def __init__(
        self,
        health: ProxyHealth,
        metrics: Metrics,
        configuration: Callable[[], KubeProxyConfiguration],
        node_name: str,
        *,
        on_event: Callable[[Event], None],
        set_verbosity: Callable[[int], None],
    ) -> None:
        """Serve nothing yet.

        Args:
            health: to answer with
            metrics: to show
            configuration: gives the one in effect
            node_name: whose events these are
            on_event: told of addresses that cannot be had
            set_verbosity: sets how much is logged, for who profiles
        """
        self._health, self._metrics, self._configuration = health, metrics, configuration
        self._node_name, self._on_event, self._set_verbosity = node_name, on_event, set_verbosity
        self._servers: dict[Part, HttpServer] = {}

    async def start(self) -> None:
        """Serve.

        Raises:
            OSError: an address cannot be had, and `bindAddressHardFail` is set
        """
        for part in (Part.HEALTH_SERVER, Part.METRICS_SERVER):
            await self.restart(part)

    async def restart(self, part: Part) -> None:
        """Serve health or metrics anew, where the configuration says now. Raises as `start` does."""
        if old := self._servers.pop(part, None):
            await old.close()
        configuration = self._configuration()
        if part is Part.HEALTH_SERVER:
            address, failed = configuration.healthz_bind_address, events.health_server_failed
        else:
            address, failed = configuration.metrics_bind_address, events.metrics_server_failed
        if not address:
            return
        endpoint = parse_endpoint(address)

        def tell(reason: str) -> None:
            self._on_event(failed(self._node_name, reason))

        server = HttpServer(self._app(part), str(endpoint.address), endpoint.port, on_failure=tell)
        await server.start(hard_fail=configuration.bind_address_hard_fail)
        self._servers[part] = server

    async def close(self) -> None:
        for server in self._servers.values():
            await server.close()

    def _app(self, part: Part) -> web.Application:
        if part is Part.HEALTH_SERVER:
            return health_app(self._health, self._metrics)
        if self._configuration().enable_profiling:
            return metrics_app(self._metrics, self._configuration, install_profiling(self._set_verbosity))
        return metrics_app(self._metrics, self._configuration)
