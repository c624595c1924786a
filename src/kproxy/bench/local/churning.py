"""Other Services' endpoints change, at a steady rate."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

from kproxy.apiserver import Store
from kproxy.bench import cluster
from kproxy.bench.cluster import Size
from kproxy.lab.probe import now

_STRIDE = 7919
"""A prime: neighbours in time are no neighbours in the kernel's tables."""


@asynccontextmanager
async def churning(store: Store, size: Size, rate: float, offsets: Iterator[int]) -> AsyncIterator[None]:
    """Change endpoints for the length of a block.

    Args:
        store: of the API server
        size: of the cluster in it
        rate: changes per second
        offsets: of new endpoints' addresses
    """
    task = asyncio.create_task(_change(store, size, rate, offsets))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _change(store: Store, size: Size, rate: float, offsets: Iterator[int]) -> None:
    due = now()
    for number, offset in enumerate(offsets):
        store.apply(cluster.endpoint_slices(number * _STRIDE % size.services, size.endpoints, offset=offset)[-1])
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - now()))
