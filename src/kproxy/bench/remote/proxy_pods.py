"""CPU and memory of all of the proxy's pods, as the cluster's API has them (metrics.k8s.io, of metrics-server)."""

import asyncio
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple, TypeAlias

import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import LabelSelector
from lightkube.resources.apps_v1 import DaemonSet
from lightkube.utils.quantity import parse_quantity

from kproxy.bench.remote.witnesses import UnavailableError, Witness
from kproxy.bench.results.schema import Run

_Selector: TypeAlias = dict[str, Any]
_POD_METRICS: Final = create_namespaced_resource("metrics.k8s.io", "v1beta1", "PodMetrics", "pods", verbs=["list"])
_NOT_FOUND: Final = 404
_SMALL: Final = {"n": Decimal("1e-9"), "u": Decimal("1e-6")}
"""Suffixes of quantities that only metrics have."""
_RESOLUTION_SECONDS: Final = 75.0
"""metrics-server asks every 15 s unless told otherwise, and at most once a minute in old deployments."""
_POLL_SECONDS: Final = 1.0


class PodUsage(NamedTuple):
    """Of one pod, over the window that ended at a time."""

    timestamp: str
    cpu: float
    """Cores."""
    memory: float
    """Working set, in bytes."""


class ProxyPods(Witness):
    """The pods of the proxy's DaemonSet, on every node."""

    subject = "CPU and memory of the proxy's pods"

    def __init__(self, run: Run, client: AsyncClient, daemon_set: str) -> None:
        """Take the DaemonSet's name, as `namespace/name`."""
        super().__init__(run)
        self._client = client
        self._namespace, _, self._name = daemon_set.partition("/")
        self._selector: _Selector = {}

    async def before(self) -> None:
        self._selector, wanted = await self._pods()
        found = await self._read()
        if len(found) < wanted:
            self._run.miss(f"{self.subject}: metrics-server has those of {len(found)} of {wanted} pods")
        self._add(found, "_before")

    async def changed(self, changes: int) -> None:
        """Wait for the first window that ends after the last change."""
        last = await self._read()
        for _ in range(int(_RESOLUTION_SECONDS / _POLL_SECONDS)):
            found = await self._read()
            if all(name not in last or usage.timestamp != last[name].timestamp for name, usage in found.items()):
                self._add(found)
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise UnavailableError(f"metrics-server had nothing newer than the changes within {_RESOLUTION_SECONDS:g} s")

    def _add(self, found: Mapping[str, PodUsage], when: str = "") -> None:
        self._run.add(f"pods_cpu{when}", [usage.cpu for usage in found.values()])
        self._run.add(f"pods_memory{when}", [usage.memory for usage in found.values()])

    async def _pods(self) -> tuple[_Selector, int]:
        """The labels of the DaemonSet's pods, and how many there are."""
        name = f"DaemonSet {self._namespace}/{self._name}"
        try:
            found = await self._client.get(DaemonSet, self._name, namespace=self._namespace)
        except ApiError as error:
            if error.status.code == _NOT_FOUND:
                raise UnavailableError(f"there is no {name}: name the proxy's with --daemon-set") from error
            raise UnavailableError(f"{name}: {error.status.message}") from error
        except httpx2.HTTPError as error:
            raise UnavailableError(f"{name}: {error}") from error
        selector = found.spec.selector if found.spec else LabelSelector()
        if not selector.matchLabels or selector.matchExpressions:
            raise UnavailableError(f"{name} selects its pods by more than labels")
        return {**selector.matchLabels}, found.status.desiredNumberScheduled if found.status else 0

    async def _read(self) -> dict[str, PodUsage]:
        try:
            listed = [
                each async for each in self._client.list(_POD_METRICS, namespace=self._namespace, labels=self._selector)
            ]
        except (ApiError, httpx2.HTTPError) as error:
            reason = error.status.message if isinstance(error, ApiError) else str(error)
            raise UnavailableError(f"the API has no metrics.k8s.io, or not for us: {reason}") from error
        found = {str(each.metadata.name): usage for each in listed if each.metadata and (usage := _usage(each))}
        if not found:
            raise UnavailableError("metrics-server knows none of them")
        return found


def _usage(metrics: Any) -> PodUsage | None:
    """Of all containers together; None for what is not as the API has it."""
    try:
        used = [container["usage"] for container in metrics["containers"]]
        cpu, memory = (float(sum(_quantity(each[name]) for each in used)) for name in ("cpu", "memory"))
        return PodUsage(str(metrics["timestamp"]), cpu, memory) if used else None
    except (KeyError, TypeError, ValueError, InvalidOperation):
        return None


def _quantity(text: str) -> Decimal:
    """A Kubernetes quantity; raises ValueError or InvalidOperation."""
    if (factor := _SMALL.get(text[-1:])) is not None:
        return Decimal(text[:-1]) * factor
    found = parse_quantity(text)
    if found is None:
        raise ValueError(text)
    return found
