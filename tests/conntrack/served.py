"""A tracker as the proxier has it, for tests of what is stale."""

from typing import Any

from kproxy.services.model import ServiceName
from kproxy.services.objects import EndpointSlice, Service
from kproxy.services.tracker import ServiceTracker
from tests.services import builders

DNS_PORT = {"name": "dns", "port": 53, "protocol": "UDP"}


class Served(ServiceTracker):
    """Remembers which names to hand over."""

    def __init__(self) -> None:
        super().__init__("here")

    def changes(self) -> set[ServiceName]:
        return self.take().services

    def remove(self, kind: type[Service] | type[EndpointSlice], name: str) -> None:
        self.delete(kind, "default", name)


def dns(name: str = "dns", **spec: Any) -> Service:
    """A Service with one UDP port, 53."""
    return builders.service(name, **{"clusterIP": "10.96.0.10", "ports": [DNS_PORT], **spec})


def pods(*endpoints: dict[str, Any] | str, service: str = "dns", port: int = 5353, **fields: Any) -> EndpointSlice:
    """The endpoints of a Service made by `dns`."""
    return builders.slice_of(service, *endpoints, ports=(("dns", port),), protocol="UDP", **fields)
