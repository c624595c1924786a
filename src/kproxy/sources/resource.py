"""What to list and watch."""

from dataclasses import dataclass
from typing import Final, Generic

from kproxy.services.objects import HEADLESS_LABEL, PROXY_NAME_LABEL, EndpointSlice, Node, Service
from kproxy.sources.wire import T


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """A collection of the API, of all namespaces: the type of its objects, its URL's path, and selectors."""

    kind: type[T]
    path: str
    label_selector: str = ""
    field_selector: str = ""

    @property
    def plural(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def selectors(self) -> dict[str, str]:
        """The query's part that stays the same in every request."""
        chosen = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: value for name, value in chosen.items() if value}


# Headless Services have no address to serve; the other label hands a Service to another proxy.
# The EndpointSlice controller copies both labels to the slices.
OURS: Final = f"!{HEADLESS_LABEL},!{PROXY_NAME_LABEL}"

SERVICES: Final = Resource(Service, "/api/v1/services", label_selector=OURS)
ENDPOINT_SLICES: Final = Resource(EndpointSlice, "/apis/discovery.k8s.io/v1/endpointslices", label_selector=OURS)


def own_node(name: str) -> Resource[Node]:
    """The collection that holds one Node at most."""
    return Resource(Node, "/api/v1/nodes", field_selector=f"metadata.name={name}")
