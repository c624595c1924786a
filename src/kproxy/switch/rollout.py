"""Replacing a DaemonSet's pods node by node, so many at a time as it allows."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection

from kproxy.sources.errors import ApiError
from kproxy.switch.cluster_client import ClusterClient, Json
from kproxy.switch.cluster_objects import Place, ProxyPod, max_unavailable, proxy_pods
from kproxy.switch.plan import SwitchError

_INTERVAL = 0.2
_NOT_FOUND = 404


class Rollout:
    """Deletes pods, and waits for those that the DaemonSet's controller makes in their place."""

    def __init__(self, client: ClusterClient, place: Place, daemon_set: Json, patience: float) -> None:
        self._client, self._place, self._daemon_set, self._patience = client, place, daemon_set, patience

    async def pods(self) -> list[ProxyPod]:
        return await proxy_pods(self._client, self._place, self._daemon_set)

    async def replace_all(
        self,
        nodes: Collection[str],
        before_batch: Callable[[list[str]], Awaitable[None]],
        after_each: Callable[[str], Awaitable[None]],
    ) -> None:
        """Replace the pods of nodes, in batches.

        Args:
            nodes: which
            before_batch: called with the nodes whose pods are about to be deleted
            after_each: called with each node whose new pod is ready; an error of it ends the rollout

        Raises:
            SwitchError: a pod does not come back in time, or what `after_each` raises
        """
        present = await self.pods()
        limit = max_unavailable(self._daemon_set, len(present))
        waiting = [pod for pod in present if pod.node in nodes]
        while waiting:
            unready = sum(not pod.ready for pod in await self.pods() if pod.node not in {w.node for w in waiting})
            size = max(1, limit - unready)
            batch, waiting = waiting[:size], waiting[size:]
            await before_batch([pod.node for pod in batch])
            await asyncio.gather(*(self._delete(pod) for pod in batch))
            for pod in batch:
                await self._returned(pod)
                await after_each(pod.node)

    async def _delete(self, pod: ProxyPod) -> None:
        try:
            await self._client.delete(f"{self._place.pods}/{pod.name}")
        except ApiError as error:
            if error.code != _NOT_FOUND:  # deleted by somebody else is deleted
                raise

    async def _returned(self, old: ProxyPod) -> None:
        deadline = time.monotonic() + self._patience
        while not any(pod.node == old.node and pod.uid != old.uid and pod.ready for pod in await self.pods()):
            if time.monotonic() > deadline:
                raise SwitchError(f"node {old.node}: no new pod is ready within {self._patience:g} s")
            await asyncio.sleep(_INTERVAL)
