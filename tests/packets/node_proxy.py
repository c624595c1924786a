"""The nftables backend in the lab's node, programmed from the test's own process."""

from collections.abc import Iterable, Sequence
from typing import Self

import msgspec

from kproxy.backends.interface import Outcome
from kproxy.backends.nftables.backend import NftablesBackend, cleanup
from kproxy.backends.nftables.ruleset import RulesetOptions
from kproxy.lab.kubernetes_objects import nodes
from kproxy.lab.lab import Lab
from kproxy.lab.topology import CLUSTER_CIDRS, NODE
from kproxy.services.addresses import Family
from kproxy.services.local_traffic import by_network
from kproxy.services.model import ServicePort
from kproxy.services.objects import KubeObject, Node
from kproxy.services.tracker import ServiceTracker
from tests.coroutines import to_end

FAMILIES = tuple(Family)


class NodeProxy:
    """What the daemon does between its sources and the kernel, one call at a time."""

    def __init__(self, lab: Lab, objects: Iterable[KubeObject] = ()) -> None:
        self._namespace = lab.namespace(NODE.name)
        self.tracker = ServiceTracker(NODE.name)
        for manifest in nodes():
            self.tracker.upsert(msgspec.convert(manifest, Node))
        for obj in objects:
            self.tracker.upsert(obj)
        self._start()

    def _start(self) -> None:
        self._backend = self._namespace.run(lambda: NftablesBackend(FAMILIES, RulesetOptions()))
        self._backend.set_local_traffic(by_network([str(network) for network in CLUSTER_CIDRS]))
        self._backend.set_node_port_addresses([address.ip.packed for address in NODE.address])
        _all_taken(to_end(self._backend.sync_all((), self.tracker)))

    def restart(self) -> None:
        """As a new process would: compare with the kernel all that is there."""
        self._backend.close()
        self._start()

    def apply(self, *objects: KubeObject) -> None:
        """Create or change objects, and sync."""
        for obj in objects:
            self.tracker.upsert(obj)
        _all_taken(to_end(self._backend.sync(self.tracker.take().services, self.tracker)))

    def replace(self, before: Sequence[KubeObject], after: Sequence[KubeObject]) -> None:
        """Have some objects instead of others, and sync."""
        remaining = {(type(obj), obj.metadata.name) for obj in after}
        for obj in before:
            if (type(obj), obj.metadata.name) not in remaining:
                self.tracker.delete(type(obj), obj.metadata.namespace, obj.metadata.name)
        self.apply(*after)

    def ports(self) -> list[ServicePort]:
        """The model of everything that is served."""
        return [
            port for name in self.tracker.names() for family in FAMILIES for port in self.tracker.ports(name, family)
        ]

    def close(self) -> None:
        """Take everything back."""
        self._backend.close()
        self._namespace.run(cleanup)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _all_taken(outcomes: list[Outcome]) -> None:
    assert not any(outcome.refused for outcome in outcomes), outcomes
