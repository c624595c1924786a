"""The desired state of this node, read once: objects from an API server or a folder, configuration, addresses."""

import asyncio
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import aiohttp
import msgspec

from kproxy.config import ConfigError, KubeProxyConfiguration, load_bytes, load_file
from kproxy.config.dump import CONFIGZ_NAME
from kproxy.config.types import API_VERSION, KIND
from kproxy.daemon.modes import local_traffic
from kproxy.inspect.listing import list_all
from kproxy.inspect.output import InspectionError
from kproxy.kernel.interface_addresses import InterfaceAddress, list_addresses
from kproxy.node.node_name import NodeNameError, node_name
from kproxy.node.node_ports import NodePortAddresses, primary_addresses
from kproxy.services.addresses import Address, Family, format_address, parse_address
from kproxy.services.local_traffic import LocalTraffic
from kproxy.services.model import ServiceName
from kproxy.services.objects import SERVICE_NAME_LABEL, EndpointSlice, KubeObject, Node, Service
from kproxy.services.tracker import ServiceTracker
from kproxy.sources.client import ApiClient
from kproxy.sources.connection import Connection
from kproxy.sources.errors import ConfigurationError, SourceError
from kproxy.sources.kubeconfig import load_connection
from kproxy.sources.manifest_files import SUFFIXES, parse_manifest
from kproxy.sources.resource import ENDPOINT_SLICES, SERVICES, own_node
from kproxy.sources.wire import BadObject

DEFAULT_METRICS: Final = "127.0.0.1:10249"
"""`metricsBindAddress`, where a running proxy shows its configuration."""

_MOST_BYTES: Final = 1 << 20
_CONFIGZ_SECONDS: Final = 2.0


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """Where the desired state is to be read from, as options of a command say it."""

    manifests: Path | None = None
    """A folder of manifests, instead of an API server."""
    kubeconfig: Path | None = None
    """None: the one that the configuration names, else the pod's service account."""
    config: Path | None = None
    """A configuration file; None: the running proxy is asked."""
    metrics: str = DEFAULT_METRICS
    """Where the running proxy shows its configuration."""
    node_name: str = ""
    cluster_cidr: str = ""


class NodeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How this node's proxy is set up."""

    configuration: KubeProxyConfiguration
    origin: str
    """Where the configuration comes from, in words."""
    running: bool
    """It is that of a proxy that answers right now."""
    node: str


class DesiredState(msgspec.Struct, frozen=True, kw_only=True):
    """What this node's proxy should do."""

    tracker: ServiceTracker
    services: dict[ServiceName, Service]
    """As the API has them, for naming fields."""
    slices: dict[ServiceName, list[EndpointSlice]]
    """By the Service that their label names."""
    node: Node | None
    settings: NodeSettings
    interfaces: tuple[InterfaceAddress, ...]
    """This node's addresses."""
    origin: str
    """Where the objects come from, in words."""
    problems: tuple[str, ...]
    """What was left out of the objects, and why."""

    @property
    def primary_addresses(self) -> list[Address]:
        """The node's main address in each family."""
        return primary_addresses(self.node, parse_address(self.settings.configuration.bind_address))

    @property
    def node_port_addresses(self) -> set[Address]:
        """Where NodePorts answer."""
        chosen = NodePortAddresses(self.settings.configuration.node_port_addresses)
        return chosen.select(self.interfaces, self.primary_addresses)

    @property
    def local_traffic(self) -> dict[Family, LocalTraffic]:
        """How local pods' packets are recognised; families without any way are left out."""
        return dict(local_traffic(self.settings.configuration, self.node) or {})


def read_settings(where: Where) -> NodeSettings:
    """Find the node's configuration: a file, else the running proxy's, else the defaults.

    Raises:
        InspectionError: the file, or what the proxy answers, is no configuration
    """
    running = False
    if where.config is not None:
        try:
            configuration = load_file(where.config).configuration
        except ConfigError as error:
            raise InspectionError(str(error)) from error
        origin = str(where.config)
    elif (body := asyncio.run(_ask(where.metrics))) is not None:
        configuration, origin, running = _from_configz(body, where.metrics), f"the proxy at {where.metrics}", True
    else:
        configuration, origin = _defaults(), f"defaults, as no proxy answers at {where.metrics}"
    if where.cluster_cidr:
        configuration = msgspec.structs.replace(
            configuration, cluster_cidr=where.cluster_cidr, detect_local_mode="ClusterCIDR"
        )
    try:
        name = node_name(where.node_name or configuration.hostname_override)
    except NodeNameError as error:
        raise InspectionError(str(error)) from error
    return NodeSettings(configuration=configuration, origin=origin, running=running, node=name)


def _defaults() -> KubeProxyConfiguration:
    return load_bytes(f"apiVersion: {API_VERSION}\nkind: {KIND}\n".encode()).configuration


async def _ask(metrics: str) -> bytes | None:
    """The running proxy's `/configz`; None when nothing answers there."""
    try:
        async with (
            asyncio.timeout(_CONFIGZ_SECONDS),
            aiohttp.ClientSession() as session,
            session.get(f"http://{metrics}/configz") as response,
        ):
            return await response.content.read(_MOST_BYTES) if response.status == 200 else None
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None


def _from_configz(body: bytes, metrics: str) -> KubeProxyConfiguration:
    try:
        tree = json.loads(body)[CONFIGZ_NAME]
        text = json.dumps({**tree, "apiVersion": API_VERSION, "kind": KIND}).encode()
        return load_bytes(text, f"http://{metrics}/configz").configuration
    except (ValueError, KeyError, TypeError, ConfigError) as error:
        words = " ".join(str(error).split())
        raise InspectionError(
            f"http://{metrics}/configz is not a configuration that can be read ({words[:200]}); give --config FILE"
        ) from error


def read_desired(where: Where, settings: NodeSettings) -> DesiredState | None:
    """Read all objects; None when nobody said where from, and this is no pod either.

    Raises:
        InspectionError: the place that was named cannot be read
    """
    if where.manifests is not None:
        objects, problems = _from_folder(where.manifests)
        return build_desired(objects, settings, _addresses(), str(where.manifests), problems)
    named = where.kubeconfig or (Path(path) if (path := settings.configuration.client_connection.kubeconfig) else None)
    try:
        connection = load_connection(named)
    except ConfigurationError as error:
        if named is None or where.kubeconfig is None:
            return None
        raise InspectionError(str(error)) from error
    try:
        objects, problems = asyncio.run(_from_api(connection, settings.node))
    except SourceError as error:
        raise InspectionError(f"{connection.server}: {error}") from error
    return build_desired(objects, settings, _addresses(), connection.server, problems)


def _addresses() -> list[InterfaceAddress]:
    try:
        return list_addresses()
    except OSError as error:
        raise InspectionError(f"the kernel does not tell this node's addresses: {error}") from error


def _from_folder(folder: Path) -> tuple[list[KubeObject], list[str]]:
    objects: list[KubeObject] = []
    problems: list[str] = []
    if not folder.is_dir():
        raise InspectionError(f"{folder}: no such folder")
    for path in sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES):
        try:
            found = parse_manifest(path, path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{path}: {error}")
            continue
        problems += [f"{path}:{flaw.line}: {flaw.reason}" for flaw in found.problems]
        objects += found.objects.values()
    return objects, problems


async def _from_api(connection: Connection, node: str) -> tuple[list[KubeObject], list[str]]:
    async with ApiClient(connection, qps=0) as client:
        listed: list[KubeObject | BadObject] = [*await list_all(client, own_node(node))]
        listed += await list_all(client, SERVICES)
        listed += await list_all(client, ENDPOINT_SLICES)
    objects = [item for item in listed if not isinstance(item, BadObject)]
    return objects, [f"{b.namespace}/{b.name or '?'}: {b.problem}" for b in listed if isinstance(b, BadObject)]


def build_desired(
    objects: Iterable[KubeObject],
    settings: NodeSettings,
    interfaces: Sequence[InterfaceAddress],
    origin: str,
    problems: Iterable[str] = (),
) -> DesiredState:
    """Build the model of some objects, as seen from a node."""
    found = list(problems)
    tracker = ServiceTracker(settings.node, on_problem=lambda problem: found.append(str(problem)))
    services: dict[ServiceName, Service] = {}
    slices: dict[ServiceName, list[EndpointSlice]] = {}
    node: Node | None = None
    for obj in objects:
        tracker.upsert(obj)
        meta = obj.metadata
        if isinstance(obj, Service):
            services[ServiceName(meta.namespace, meta.name)] = obj
        elif isinstance(obj, EndpointSlice):
            if service := (meta.labels or {}).get(SERVICE_NAME_LABEL):
                slices.setdefault(ServiceName(meta.namespace, service), []).append(obj)
        elif meta.name == settings.node:
            node = obj
    return DesiredState(
        tracker=tracker,
        services=services,
        slices=slices,
        node=node,
        settings=settings,
        interfaces=tuple(interfaces),
        origin=origin,
        problems=tuple(dict.fromkeys(found)),
    )


def describe_addresses(addresses: Iterable[Address]) -> str:
    """Addresses in words."""
    return ", ".join(format_address(address) for address in sorted(addresses)) or "none"
