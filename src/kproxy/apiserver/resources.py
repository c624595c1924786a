"""The resources that the server knows, and how a URL, a kind and a short name lead to them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    """One API resource.

    `model` is the type in `lightkube.models` that holds its schema. `selectable` are the fields, beyond the
    name and the namespace, that field selectors may use: selector label → path in the object.
    A resource that is only another version's view of a stored one names that one in `stored_as`.
    """

    group: str
    version: str
    kind: str
    plural: str
    model: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    has_status: bool = False
    selectable: tuple[tuple[str, tuple[str, ...]], ...] = ()
    stored_as: str = ""

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> str:
        """The resource's name with its group, as `kubectl` writes it: `endpointslices.discovery.k8s.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"


def _paths(*labels: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((label, tuple(label.split("."))) for label in labels)


SERVICES = Resource(
    "",
    "v1",
    "Service",
    "services",
    "core_v1.Service",
    short_names=("svc",),
    categories=("all",),
    has_status=True,
    selectable=_paths("spec.type", "spec.clusterIP"),
)
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "discovery_v1.EndpointSlice")
NODES = Resource(
    "",
    "v1",
    "Node",
    "nodes",
    "core_v1.Node",
    namespaced=False,
    short_names=("no",),
    has_status=True,
    selectable=_paths("spec.unschedulable"),
)
NAMESPACES = Resource(
    "",
    "v1",
    "Namespace",
    "namespaces",
    "core_v1.Namespace",
    namespaced=False,
    short_names=("ns",),
    has_status=True,
    selectable=_paths("status.phase"),
)
EVENTS = Resource(
    "",
    "v1",
    "Event",
    "events",
    "core_v1.Event",
    short_names=("ev",),
    selectable=(
        *_paths(*(f"involvedObject.{part}" for part in ("kind", "namespace", "name", "uid", "apiVersion"))),
        *_paths("involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "type"),
        ("reportingComponent", ("reportingComponent",)),
        ("source", ("source", "component")),
    ),
)
NEW_EVENTS = Resource(
    "events.k8s.io",
    "v1",
    "Event",
    "events",
    "events_v1.Event",
    short_names=("ev",),
    selectable=(
        *((f"regarding.{part}", ("involvedObject", part)) for part in ("kind", "namespace", "name", "uid")),
        *_paths("reason", "type"),
        ("reportingController", ("reportingComponent",)),
    ),
    stored_as="events",
)
SERVICE_CIDRS = Resource(
    "networking.k8s.io",
    "v1",
    "ServiceCIDR",
    "servicecidrs",
    "networking_v1.ServiceCIDR",
    namespaced=False,
    has_status=True,
)
PODS = Resource(
    "",
    "v1",
    "Pod",
    "pods",
    "core_v1.Pod",
    short_names=("po",),
    categories=("all",),
    has_status=True,
    selectable=_paths("spec.nodeName", "status.phase", "status.podIP"),
)
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", "core_v1.ConfigMap", short_names=("cm",))
SECRETS = Resource("", "v1", "Secret", "secrets", "core_v1.Secret", selectable=_paths("type"))
DAEMON_SETS = Resource(
    "apps",
    "v1",
    "DaemonSet",
    "daemonsets",
    "apps_v1.DaemonSet",
    short_names=("ds",),
    categories=("all",),
    has_status=True,
)

RESOURCES = (
    *(SERVICES, ENDPOINT_SLICES, NODES, NAMESPACES, EVENTS, NEW_EVENTS, SERVICE_CIDRS),
    *(PODS, CONFIG_MAPS, SECRETS, DAEMON_SETS),
)
STORED_RESOURCES = tuple(resource for resource in RESOURCES if not resource.stored_as)

_BY_KIND = {(resource.api_version, resource.kind): resource for resource in RESOURCES}


def resource_of(api_version: str, kind: str) -> Resource | None:
    """The resource that an object's `apiVersion` and `kind` name, or None when the server does not have it."""
    return _BY_KIND.get((api_version, kind))


def storage_of(resource: Resource) -> Resource:
    """The resource that a version's objects are stored as: itself, unless it is a view."""
    return next((stored for stored in STORED_RESOURCES if stored.key == resource.stored_as), resource)
