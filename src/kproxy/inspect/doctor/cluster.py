"""What the API, or a folder of manifests, holds beyond what a proxy reads: selectors, pods, networks."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
import yaml

from kproxy.inspect.desired import Where
from kproxy.services.objects import Base, Node, ObjectMeta, Protocol
from kproxy.sources.client import ApiClient
from kproxy.sources.connection import Connection
from kproxy.sources.errors import ApiError, SourceError
from kproxy.sources.manifest_files import SUFFIXES
from kproxy.sources.wire import DECODE_ERRORS
from kproxy.sources.yaml_loading import YamlLoader

_PAGE: Final = 500
_IDLE_SECONDS: Final = 15.0
_MOST_BYTES: Final = 256 << 20
K = TypeVar("K", bound=Base)


class TargetedPort(Base, frozen=True):
    """A Service's port, with where it leads."""

    port: int
    name: str = ""
    protocol: Protocol = "TCP"
    target_port: int | str | None = None
    """None: the port itself."""
    node_port: int = 0


class SelectingSpec(Base, frozen=True):
    type: str = "ClusterIP"
    selector: dict[str, str] | None = None
    ports: list[TargetedPort] | None = None
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    publish_not_ready_addresses: bool = False


class SelectingService(Base, frozen=True):
    """`v1` Service, for what a proxy does not read of it."""

    metadata: ObjectMeta
    spec: SelectingSpec = SelectingSpec()


class ContainerPort(Base, frozen=True):
    container_port: int
    name: str = ""
    protocol: Protocol = "TCP"


class Container(Base, frozen=True):
    name: str = ""
    image: str = ""
    ports: list[ContainerPort] | None = None


class PodSpec(Base, frozen=True):
    node_name: str = ""
    host_network: bool = False
    containers: list[Container] | None = None


class Condition(Base, frozen=True):
    type: str
    status: str = ""
    message: str = ""


class PodStatus(Base, frozen=True):
    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    conditions: list[Condition] | None = None


class Pod(Base, frozen=True):
    """`v1` Pod."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def ready(self) -> bool:
        return any(c.type == "Ready" and c.status == "True" for c in self.status.conditions or ())

    @property
    def running(self) -> bool:
        """It has not ended; the endpoints controller leaves ended pods out."""
        return self.status.phase not in ("Succeeded", "Failed")


class ServiceCidrSpec(Base, frozen=True):
    cidrs: list[str] | None = None


class ServiceCidr(Base, frozen=True):
    """`networking.k8s.io/v1` ServiceCIDR."""

    metadata: ObjectMeta
    spec: ServiceCidrSpec = ServiceCidrSpec()


class Cluster(msgspec.Struct, frozen=True, kw_only=True):
    """Objects of the cluster; None for a kind that could not be read."""

    services: list[SelectingService]
    pods: list[Pod] | None
    nodes: list[Node] | None
    service_cidrs: list[ServiceCidr] | None
    problems: tuple[str, ...]

    def selected(self, service: SelectingService) -> list[Pod]:
        """The pods that a Service's selector matches."""
        selector = service.spec.selector or {}
        return [
            pod
            for pod in self.pods or ()
            if pod.metadata.namespace == service.metadata.namespace
            and selector.items() <= (pod.metadata.labels or {}).items()
        ]


class _List(msgspec.Struct, frozen=True):
    class Meta(msgspec.Struct, frozen=True):
        continue_: str = msgspec.field(default="", name="continue")

    metadata: Meta = Meta()
    items: list[msgspec.Raw] | None = None


class _Kind(Generic[K]):
    """A kind of object: its path in the API, and its type."""

    def __init__(self, kind: str, path: str, type_: type[K]) -> None:
        self.kind, self.path, self.type = kind, path, type_


_SERVICES = _Kind("Service", "/api/v1/services", SelectingService)
_PODS = _Kind("Pod", "/api/v1/pods", Pod)
_NODES = _Kind("Node", "/api/v1/nodes", Node)
_SERVICE_CIDRS = _Kind("ServiceCIDR", "/apis/networking.k8s.io/v1/servicecidrs", ServiceCidr)


async def read_cluster(connection: Connection) -> Cluster:
    """List what an API server has; a kind that it refuses is left out, and said.

    Raises:
        SourceError: the Services cannot be read
    """
    problems: list[str] = []
    async with ApiClient(connection, qps=0) as client:
        services = await _list(client, _SERVICES, problems)
        others = await asyncio.gather(
            _list_if_allowed(client, _PODS, problems),
            _list_if_allowed(client, _NODES, problems),
            _list_if_allowed(client, _SERVICE_CIDRS, problems),
        )
    pods, nodes, cidrs = others
    return Cluster(services=services, pods=pods, nodes=nodes, service_cidrs=cidrs, problems=tuple(problems))


async def _list_if_allowed(client: ApiClient, kind: _Kind[K], problems: list[str]) -> list[K] | None:
    try:
        return await _list(client, kind, problems)
    except SourceError as error:
        if not (isinstance(error, ApiError) and error.code == 404):
            problems.append(f"{kind.kind}s cannot be listed: {error}")
        return None


async def _list(client: ApiClient, kind: _Kind[K], problems: list[str]) -> list[K]:
    found: list[K] = []
    query = {"limit": str(_PAGE)}
    while True:
        body = bytearray()
        async with client.get(kind.path, query) as response:
            while chunk := await response.read(_IDLE_SECONDS):
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise SourceError(f"{kind.kind}s: the list is longer than {_MOST_BYTES} bytes")
        try:
            page = msgspec.json.decode(body, type=_List)
        except DECODE_ERRORS as error:
            raise SourceError(f"{kind.kind}s: not a list: {error}") from error
        found += _decoded(page.items or (), kind, problems)
        if not page.metadata.continue_:
            return found
        query = {"limit": str(_PAGE), "continue": page.metadata.continue_}


def _decoded(items: Iterable[msgspec.Raw], kind: _Kind[K], problems: list[str]) -> list[K]:
    found = []
    for item in items:
        try:
            found.append(msgspec.json.decode(item, type=kind.type))
        except DECODE_ERRORS as error:
            problems.append(f"a {kind.kind} does not decode: {error}")
    return found


def cluster_of_manifests(where: Where) -> Cluster | None:
    """The same from the folder of manifests that the options name; pods are known if there are any."""
    if where.manifests is None:
        return None
    problems: list[str] = []
    documents = [
        document
        for path in sorted(where.manifests.rglob("*"))
        if path.suffix in SUFFIXES
        for document in _documents(path, problems)
    ]

    def of(kind: _Kind[K]) -> list[K]:
        found = []
        for document in documents:
            if document.get("kind") == kind.kind:
                try:
                    found.append(msgspec.convert(_in_a_namespace(document), kind.type))
                except msgspec.ValidationError as error:
                    problems.append(f"a {kind.kind} does not decode: {error}")
        return found

    pods, nodes, cidrs = of(_PODS), of(_NODES), of(_SERVICE_CIDRS)
    return Cluster(
        services=of(_SERVICES),
        pods=pods or None,
        nodes=nodes or None,
        service_cidrs=cidrs or None,
        problems=tuple(problems),
    )


def _documents(path: Path, problems: list[str]) -> list[Mapping[str, Any]]:
    try:
        loaded = list(yaml.load_all(path.read_text(encoding="utf-8"), Loader=YamlLoader))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        problems.append(f"{path}: {' '.join(str(error).split())[:200]}")
        return []
    flat = [
        item
        for document in loaded
        for item in (document.get("items", [document]) if _is_list(document) else [document])
    ]
    return [item for item in flat if isinstance(item, dict)]


def _is_list(document: object) -> bool:
    return isinstance(document, dict) and isinstance(document.get("items"), list)


def _in_a_namespace(document: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = document.get("metadata")
    if document.get("kind") in ("Node", "ServiceCIDR") or not isinstance(metadata, dict):
        return document
    return {**document, "metadata": {"namespace": "default", **metadata}}
