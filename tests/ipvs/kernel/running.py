"""A backend as the daemon runs it: started with what there is, told of what changes."""

from collections.abc import Collection

from kproxy.backends.interface import Outcome
from kproxy.backends.ipvs.backend import IpvsBackend
from kproxy.services.addresses import Address
from kproxy.services.objects import KubeObject
from kproxy.services.tracker import ServiceTracker
from tests.ipvs.kernel_state import backend


async def started(tracker: ServiceTracker, node: Collection[Address] = (), **options: object) -> IpvsBackend:
    """A backend that has programmed all that a tracker knows, without a refusal."""
    made = backend(**options)
    made.set_node_port_addresses(node)
    tracker.take()
    assert not any(outcome.refused for outcome in await made.sync_all((), tracker))
    return made


async def put(made: IpvsBackend, tracker: ServiceTracker, *objects: KubeObject) -> list[Outcome]:
    """Create or change objects, and sync; returns the outcome of each family."""
    for obj in objects:
        tracker.upsert(obj)
    return await made.sync(tracker.take().services, tracker)
