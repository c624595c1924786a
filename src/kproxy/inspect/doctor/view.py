"""Everything that checks look at, gathered once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from kproxy.config import KubeProxyConfiguration
from kproxy.inspect.desired import DesiredState, Where, read_desired
from kproxy.inspect.detection.detect import Detection, detect
from kproxy.inspect.detection.settings import endpoints, find_settings
from kproxy.inspect.doctor.clock import Clock, read_clock
from kproxy.inspect.doctor.cluster import cluster_of_manifests, read_cluster
from kproxy.inspect.doctor.cluster_objects import Cluster
from kproxy.inspect.output import InspectionError
from kproxy.kernel.links import Interface, list_interfaces
from kproxy.kernel.sysctls import read_sysctl
from kproxy.services.addresses import Family
from kproxy.services.model import ServiceName, ServicePort
from kproxy.sources.connection import Connection
from kproxy.sources.errors import SourceError
from kproxy.sources.kubeconfig import load_connection

T = TypeVar("T")


class NodeView(NamedTuple):
    """A node, its proxy and its cluster, as far as they could be read."""

    node: str
    configuration: KubeProxyConfiguration
    detection: Detection
    interfaces: tuple[Interface, ...]
    desired: DesiredState | None
    cluster: Cluster | None
    clock: Clock | None
    """The API server's; None when there is none, or it could not be read."""
    problems: tuple[str, ...]
    read: Callable[[str], str | None] = read_sysctl
    """Reads a kernel setting by its path below /proc/sys."""

    @property
    def mode(self) -> str:
        """The mode in use, else the configured one."""
        return self.detection.mode or self.configuration.mode

    def sysctl(self, name: str) -> str | None:
        """A kernel setting; None where the kernel does not have it, or does not show it."""
        try:
            return self.read(name)
        except OSError:
            return None

    def ports(self) -> Iterator[ServicePort]:
        """The model of everything that is served; empty without a desired state."""
        if self.desired is not None:
            for name in self.desired.tracker.names():
                yield from self.ports_of(name)

    def ports_of(self, name: ServiceName) -> list[ServicePort]:
        """The model of one Service, in both families."""
        if self.desired is None:
            return []
        return [port for family in Family for port in self.desired.tracker.ports(name, family)]


async def look(where: Where) -> NodeView:
    """Gather.

    Raises:
        InspectionError: what the options name cannot be read
    """
    found = await asyncio.to_thread(find_settings, where)
    problems = [found.problem] if found.problem else []
    metrics, healthz = endpoints(found.settings.configuration, where)
    connection = _connection(where, found.settings.configuration)
    detection, desired, cluster, clock, interfaces = await asyncio.gather(
        detect(metrics, healthz),
        _tried(asyncio.to_thread(read_desired, where, found.settings), problems),
        _tried(_cluster(where, connection), problems),
        _tried(read_clock(connection), problems),
        asyncio.to_thread(list_interfaces),
    )
    problems += [*detection.problems, *(cluster.problems if cluster else ())]
    return NodeView(
        node=found.settings.node,
        configuration=found.settings.configuration,
        detection=detection,
        interfaces=tuple(interfaces),
        desired=desired,
        cluster=cluster,
        clock=clock,
        problems=tuple(dict.fromkeys(problems)),
    )


def _connection(where: Where, configuration: KubeProxyConfiguration) -> Connection | None:
    if where.manifests is not None:
        return None
    path = configuration.client_connection.kubeconfig
    try:
        return load_connection(where.kubeconfig or (Path(path) if path else None))
    except SourceError:
        return None  # read_desired says so, where it matters


async def _cluster(where: Where, connection: Connection | None) -> Cluster | None:
    if connection is None:
        return await asyncio.to_thread(cluster_of_manifests, where)
    return await read_cluster(connection)


async def _tried(reading: Awaitable[T], problems: list[str]) -> T | None:
    """What was read; None when it could not be, which is said."""
    try:
        return await reading
    except (InspectionError, SourceError) as error:
        problems.append(str(error))
        return None
