"""A backend in the lab's node, programmed from the test's own process."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Self, TypeVar

import msgspec
import yaml

from kproxy.backends.interface import Outcome
from kproxy.config import load_bytes
from kproxy.daemon.modes import clean_up, local_traffic, make_backend
from kproxy.lab.kubernetes_objects import nodes
from kproxy.lab.lab import Lab
from kproxy.lab.proxy import configuration
from kproxy.lab.topology import NODE
from kproxy.services.addresses import Family
from kproxy.services.model import ServicePort
from kproxy.services.objects import KubeObject, Node
from kproxy.services.tracker import ServiceTracker

T = TypeVar("T")


class NodeProxy:
    """What the daemon does between its sources and the kernel, one call at a time."""

    def __init__(self, lab: Lab, objects: Iterable[KubeObject] = (), *, mode: str = "nftables") -> None:
        self._namespace = lab.namespace(NODE.name)
        self._loop = asyncio.new_event_loop()
        """Of the node's own thread: programs belong to the namespace of the thread that starts them."""
        self._configuration = load_bytes(yaml.safe_dump(configuration(mode)).encode()).configuration
        self.tracker = ServiceTracker(NODE.name)
        for manifest in nodes():
            self.tracker.upsert(msgspec.convert(manifest, Node))
        for obj in objects:
            self.tracker.upsert(obj)
        self._start()

    def _start(self) -> None:
        self._backend = self._namespace.run(lambda: make_backend(self._configuration))
        self._backend.set_local_traffic(local_traffic(self._configuration, None) or {})
        addresses = [address.ip.packed for address in NODE.address]
        self._backend.set_node_ips(addresses)
        self._backend.set_node_port_addresses(addresses)
        _all_taken(self._to_end(self._backend.sync_all((), self.tracker)))

    def restart(self) -> None:
        """As a new process would: compare with the kernel all that is there."""
        self._backend.close()
        self._start()

    def apply(self, *objects: KubeObject) -> None:
        """Create or change objects, and sync."""
        for obj in objects:
            self.tracker.upsert(obj)
        _all_taken(self._to_end(self._backend.sync(self.tracker.take().services, self.tracker)))

    def replace(self, before: Sequence[KubeObject], after: Sequence[KubeObject]) -> None:
        """Have some objects instead of others, and sync."""
        remaining = {(type(obj), obj.metadata.name) for obj in after}
        for obj in before:
            if (type(obj), obj.metadata.name) not in remaining:
                self.tracker.delete(type(obj), obj.metadata.namespace, obj.metadata.name)
        self.apply(*after)

    def ports(self) -> list[ServicePort]:
        """The model of everything that is served."""
        return [port for name in self.tracker.names() for family in Family for port in self.tracker.ports(name, family)]

    def close(self) -> None:
        """Take everything back."""
        self._namespace.run(self._backend.close)
        self._to_end(clean_up(self._configuration))
        self._loop.close()

    def _to_end(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._namespace.run(lambda: self._loop.run_until_complete(coroutine))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _all_taken(outcomes: list[Outcome]) -> None:
    assert not any(outcome.refused for outcome in outcomes), outcomes
