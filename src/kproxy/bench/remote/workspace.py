"""A namespace in somebody's cluster, in which everything carries our labels and goes when we go."""

import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

import httpx2
from lightkube import AsyncClient, KubeConfig
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.models.core_v1 import ServicePort, ServiceSpec
from lightkube.models.discovery_v1 import Endpoint, EndpointConditions, EndpointPort
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Service
from lightkube.resources.discovery_v1 import EndpointSlice
from lightkube.types import PatchType

from kproxy.bench.local.prober import Target

MANAGED_BY: Final = "app.kubernetes.io/managed-by"
TOOL: Final = "kproxy-bench"
RUN: Final = "bench.kproxy.dev/run"
_OF_SERVICE: Final = "kubernetes.io/service-name"
_SLICES_BY: Final = "endpointslice.kubernetes.io/managed-by"
_NOT_FOUND: Final = 404
_Selector: TypeAlias = dict[str, Any]
_PORT: Final = "http"


class WorkspaceError(Exception):
    """The cluster cannot be used, or may not be; the message says why, on one line."""


class Workspace:
    """What the benchmark may touch: objects that it made itself, in one namespace. Nothing else is ever deleted."""

    def __init__(self, client: AsyncClient, namespace: str, run: str) -> None:
        self.client, self.namespace, self.run = client, namespace, run

    @classmethod
    @asynccontextmanager
    async def open(
        cls, kubeconfig: Path | None, context: str | None, namespace: str, *, yes: bool
    ) -> AsyncIterator[Self]:
        """Make the namespace, and delete all that was made in it, and itself, at the end, however that comes.

        Args:
            kubeconfig: a file; None: $KUBECONFIG, or ~/.kube/config
            context: in it; None: the current one
            namespace: its name; empty: a new one of our own
            yes: whether a namespace that is there already, and is not ours, may be used. It stays.

        Raises:
            WorkspaceError: no such context, no permission, no answer, or somebody else's namespace without `yes`
        """
        client = _connect(kubeconfig, context)
        run = secrets.token_hex(4)
        workspace = cls(client, namespace or f"{TOOL}-{run}", run)
        with _as_workspace_errors():
            made = await workspace._claim(yes=yes)
        try:
            with _as_workspace_errors():
                yield workspace
        finally:
            with _as_workspace_errors():
                await workspace.clean_up(delete_namespace=made)

    async def _claim(self, *, yes: bool) -> bool:
        """Make the namespace; False when it is somebody else's."""
        try:
            there = await self.client.get(Namespace, self.namespace)
        except ApiError as error:
            if error.status.code != _NOT_FOUND:
                raise
            await self.client.create(Namespace(metadata=ObjectMeta(name=self.namespace, labels=self._labels())))
            return True
        labels = there.metadata.labels if there.metadata and there.metadata.labels else {}
        if labels.get(MANAGED_BY) == TOOL:
            raise WorkspaceError(
                f"namespace {self.namespace} is another run's: wait for it, or remove what it left with --clean-up"
            )
        if not yes:
            raise WorkspaceError(
                f"namespace {self.namespace} is not this benchmark's own: leave --namespace out to have one made, or "
                f"say --yes to work in this one (only objects that the benchmark made are deleted)"
            )
        return False

    async def create(self, number: int, endpoints: Sequence[Target]) -> str:
        """Make a Service with one slice of endpoints; gives its cluster IP."""
        name = f"service-{number}"
        service = await self.client.create(
            Service(
                metadata=ObjectMeta(name=name, namespace=self.namespace, labels=self._labels()),
                spec=ServiceSpec(ports=[ServicePort(port=80, name=_PORT)]),
            )
        )
        await self.client.create(
            EndpointSlice(
                metadata=ObjectMeta(
                    name=f"{name}-1",
                    namespace=self.namespace,
                    labels={**self._labels(), _OF_SERVICE: name, _SLICES_BY: TOOL},
                ),
                addressType="IPv4",
                endpoints=[
                    Endpoint(addresses=[address], conditions=EndpointConditions(ready=True)) for address, _ in endpoints
                ],
                ports=[EndpointPort(name=_PORT, port=endpoints[0][1], protocol="TCP")],
            )
        )
        address = service.spec.clusterIP if service.spec else None
        if not address:
            raise WorkspaceError(f"Service {name} got no cluster IP")
        return address

    async def set_port(self, number: int, port: int) -> None:
        """Have a Service's endpoints listen elsewhere: the change that is measured."""
        patch = {"ports": [{"name": _PORT, "port": port, "protocol": "TCP"}]}
        await self.client.patch(
            EndpointSlice, f"service-{number}-1", patch, namespace=self.namespace, patch_type=PatchType.MERGE
        )

    async def clean_up(self, *, delete_namespace: bool) -> int:
        """Delete what carries this run's labels, and check that it is gone; gives how many objects it was."""
        selector: _Selector = {MANAGED_BY: TOOL, RUN: self.run}
        slices = [s.metadata async for s in self.client.list(EndpointSlice, namespace=self.namespace, labels=selector)]
        services = [s.metadata async for s in self.client.list(Service, namespace=self.namespace, labels=selector)]
        for metadata in slices:
            await self._delete_object(EndpointSlice, metadata)
        for metadata in services:
            await self._delete_object(Service, metadata)
        if delete_namespace:
            with _gone_is_fine():
                await self.client.delete(Namespace, self.namespace)
        return len(slices) + len(services)

    async def _delete_object(self, kind: type[Service] | type[EndpointSlice], metadata: ObjectMeta | None) -> None:
        if metadata and metadata.name:
            with _gone_is_fine():
                await self.client.delete(kind, metadata.name, namespace=self.namespace)

    def _labels(self) -> dict[str, str]:
        return {MANAGED_BY: TOOL, RUN: self.run}


async def remove_leftovers(kubeconfig: Path | None, context: str | None) -> list[str]:
    """Delete what runs left that were killed: namespaces with our labels, and objects with them in any namespace.

    Gives what was deleted, in words.

    Raises:
        WorkspaceError: as `Workspace.open`
    """
    client = _connect(kubeconfig, context)
    selector: _Selector = {MANAGED_BY: TOOL}
    removed = []
    with _as_workspace_errors():
        namespaces = [n.metadata async for n in client.list(Namespace, labels=selector)]
        slices = [s.metadata async for s in client.list(EndpointSlice, namespace="*", labels=selector)]
        services = [s.metadata async for s in client.list(Service, namespace="*", labels=selector)]
        found: list[tuple[str, str]] = []
        for metadata in (*slices, *services):
            labels = metadata.labels if metadata and metadata.labels else {}
            if metadata and metadata.namespace and RUN in labels:
                found.append((metadata.namespace, labels[RUN]))
        for namespace, run in dict.fromkeys(found):
            count = await Workspace(client, namespace, run).clean_up(delete_namespace=False)
            removed.append(f"{count} objects in namespace {namespace}")
        for metadata in namespaces:
            if metadata and metadata.name and RUN in (metadata.labels or {}):
                with _gone_is_fine():
                    await client.delete(Namespace, metadata.name)
                removed.append(f"namespace {metadata.name}")
    return removed


@contextlib.contextmanager
def _gone_is_fine() -> Iterator[None]:
    """For a deletion: a controller, or the namespace, may have taken the object along."""
    try:
        yield
    except ApiError as error:
        if error.status.code != _NOT_FOUND:
            raise


def _connect(kubeconfig: Path | None, context: str | None) -> AsyncClient:
    try:
        config = KubeConfig.from_file(kubeconfig) if kubeconfig else KubeConfig.from_env()
        single = config.get(context_name=context)
        if single is None:
            raise WorkspaceError("the kubeconfig has no current context: name one with --context")
        return AsyncClient(config=single, field_manager=TOOL, trust_env=False)
    except (ConfigError, OSError) as error:
        raise WorkspaceError(f"kubeconfig: {error}") from error


@contextlib.contextmanager
def _as_workspace_errors() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        raise WorkspaceError(f"the API server refuses: {error.status.message}") from error
    except httpx2.HTTPError as error:
        raise WorkspaceError(f"the API server cannot be reached: {error}") from error
