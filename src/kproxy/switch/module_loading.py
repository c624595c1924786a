"""Kernel modules loaded on the nodes of a cluster, by a Pod on each."""

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import NamedTuple

from kproxy.sources.errors import ApiError, SourceError
from kproxy.switch.cluster_client import ClusterClient, Json
from kproxy.switch.cluster_objects import Place
from kproxy.switch.module_pod import LABEL, complaint, has_ended, module_pod
from kproxy.switch.plan import SwitchError

AT_ONCE = 16
"""Nodes that load at a time."""
_INTERVAL = 0.25
_NOT_FOUND = 404
_MOST_NODES = 5
"""That an error names for one reason."""


class Wanted(NamedTuple):
    """What the nodes are to have."""

    mode: str
    modules: Sequence[str]
    image: str


class ModuleLoading:
    """Makes the Pods, waits for them, and deletes them."""

    def __init__(self, client: ClusterClient, place: Place, daemon_set: Json, patience: float) -> None:
        self._client, self._place, self._daemon_set, self._patience = client, place, daemon_set, patience

    async def load(self, wanted: Wanted, nodes: Collection[str]) -> None:
        """Load modules on nodes, a few nodes at a time; no Pod is left, whatever happens.

        Raises:
            SwitchError: on which nodes it failed, and why; the others have the modules
        """
        limit = asyncio.Semaphore(AT_ONCE)

        async def on(node: str) -> str:
            async with limit:
                return await self._load(wanted, node)

        nodes = sorted(nodes)
        try:
            problems = await asyncio.gather(*map(on, nodes))
        finally:
            # A request to make one may have been carried out after whoever sent it was gone.
            await self.remove_leftovers()
        failed: dict[str, list[str]] = {}
        for node, problem in zip(nodes, problems, strict=True):
            if problem:
                failed.setdefault(problem, []).append(node)
        if failed:
            words = "; ".join(f"{_listed(where)}: {problem}" for problem, where in failed.items())
            raise SwitchError(f"kernel modules cannot be loaded (--no-load-modules leaves them to you): {words}")

    async def _load(self, wanted: Wanted, node: str) -> str:
        """Returns what was in the way, in words."""
        pod = module_pod(self._place, self._daemon_set, node, wanted.image, wanted.mode, wanted.modules, self._patience)
        path = f"{self._place.pods}/{pod['metadata']['name']}"
        try:
            try:
                await self._client.create(self._place.pods, pod)
                return await self._ended(path)
            finally:
                await self._delete(path)
        except SourceError as error:
            return str(error)

    async def _ended(self, path: str) -> str:
        deadline = time.monotonic() + self._patience
        while not has_ended(pod := await self._client.read(path)):
            if time.monotonic() > deadline:
                return f"not done within {self._patience:g} s: {complaint(pod)}"
            await asyncio.sleep(_INTERVAL)
        return complaint(pod)

    async def remove_leftovers(self) -> None:
        """Delete such Pods, also those of a switch that was killed.

        Raises:
            SourceError: the API refuses it
        """
        found = await self._client.items(self._place.pods, f"{LABEL}={self._place.daemon_set}")
        for pod in found:
            if not pod["metadata"].get("deletionTimestamp"):
                await self._delete(f"{self._place.pods}/{pod['metadata']['name']}")

    async def _delete(self, path: str) -> None:
        try:
            await self._client.delete(path)
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise


def _listed(nodes: Sequence[str]) -> str:
    more = len(nodes) - _MOST_NODES
    return ", ".join(nodes[:_MOST_NODES]) + (f" and {more} more" if more > 0 else "")
