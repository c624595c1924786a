"""Services, EndpointSlices and the own Node, from a Kubernetes API server."""

import asyncio
from typing import Final

from kproxy.config import KubeProxyConfiguration
from kproxy.config.feature_gates import enabled
from kproxy.services.objects import EndpointSlice, Node, Service
from kproxy.sources.client import ApiClient
from kproxy.sources.clock import Clock
from kproxy.sources.reflector import Reflector, ReflectorSettings
from kproxy.sources.resource import ENDPOINT_SLICES, SERVICES, own_node
from kproxy.sources.sink import Sink

_SHORTEST_WATCH: Final = 5


def reflector_settings(configuration: KubeProxyConfiguration) -> ReflectorSettings:
    """What a configuration says about following the API: `configSyncPeriod`, and the feature gate WatchListClient.

    A watch lives for a third to two thirds of the period: 5 to 10 minutes by default, as in Kubernetes' own client.
    """
    period = configuration.config_sync_period.seconds
    shortest = max(_SHORTEST_WATCH, int(period / 3))
    return ReflectorSettings(
        watch_seconds=(shortest, max(shortest, int(period * 2 / 3))),
        stream_lists=enabled(configuration.feature_gates, "WatchListClient"),
    )


class KubernetesSource:
    """A reflector for each kind; their objects reach the sink in no particular order.

    The client is the caller's to open and to close. `reflectors` is there for metrics.
    """

    def __init__(
        self,
        client: ApiClient,
        node_name: str,
        sink: Sink,
        *,
        clock: Clock | None = None,
        settings: ReflectorSettings | None = None,
    ) -> None:
        services = Reflector(SERVICES, client, sink, clock=clock, settings=settings)
        slices = Reflector(ENDPOINT_SLICES, client, sink, clock=clock, settings=settings)
        node = Reflector(own_node(node_name), client, sink, clock=clock, settings=settings)
        self.reflectors: tuple[Reflector[Service], Reflector[EndpointSlice], Reflector[Node]] = (services, slices, node)

    def set_settings(self, settings: ReflectorSettings) -> None:
        """Follow the API differently, from the next request on."""
        for reflector in self.reflectors:
            reflector.settings = settings

    async def run(self) -> None:
        """Keep the sink up to date until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self.reflectors:
                group.create_task(reflector.run())
