"""Reads what the API, or a folder of manifests, has beyond what a proxy reads."""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
import yaml

from kproxy.inspect.desired import Where
from kproxy.inspect.doctor.cluster_objects import Cluster, DaemonSet, Pod, SelectingService, ServiceCidr
from kproxy.services.objects import Base, Node
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
_DAEMON_SETS = _Kind("DaemonSet", "/apis/apps/v1/daemonsets", DaemonSet)


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
            _list_if_allowed(client, _DAEMON_SETS, problems),
        )
    pods, nodes, cidrs, daemon_sets = others
    return Cluster(
        services=services,
        pods=pods,
        nodes=nodes,
        service_cidrs=cidrs,
        daemon_sets=daemon_sets,
        problems=tuple(problems),
    )


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

    pods, nodes, cidrs, daemon_sets = of(_PODS), of(_NODES), of(_SERVICE_CIDRS), of(_DAEMON_SETS)
    return Cluster(
        services=of(_SERVICES),
        pods=pods or None,
        nodes=nodes or None,
        service_cidrs=cidrs or None,
        daemon_sets=daemon_sets or None,
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
