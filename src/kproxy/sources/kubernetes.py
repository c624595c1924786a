"""Services, EndpointSlices and the own Node, from a Kubernetes API server."""

import asyncio

from kproxy.services.objects import EndpointSlice, Node, Service
from kproxy.sources.client import ApiClient
from kproxy.sources.clock import Clock
from kproxy.sources.reflector import Reflector, ReflectorSettings
from kproxy.sources.resource import ENDPOINT_SLICES, SERVICES, own_node
from kproxy.sources.sink import Sink


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

    async def run(self) -> None:
        """Keep the sink up to date until cancelled."""
        async with asyncio.TaskGroup() as group:
            for reflector in self.reflectors:
                group.create_task(reflector.run())
