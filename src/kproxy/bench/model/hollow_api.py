"""The API server of the hollow run, a process of its own: `python -m kproxy.bench.model.hollow_api SERVICES ENDPOINTS`.

Prints its port; then each line it reads, `RATE SECONDS`, has it change endpoints at that rate, and print how many it
changed. Ends with its standard input.
"""

import asyncio
import itertools
import sys
from collections.abc import Iterator
from datetime import UTC, datetime

from kproxy.apiserver import ApiServer, Store
from kproxy.bench import api, cluster
from kproxy.bench.cluster import Size
from kproxy.daemon import memory
from kproxy.lab.probe import now

TRIGGERED = "endpoints.kubernetes.io/last-change-trigger-time"


async def _churn(store: Store, size: Size, rate: float, seconds: float, offsets: Iterator[int]) -> int:
    due = now()
    count = int(rate * seconds)
    for offset in itertools.islice(offsets, count):
        slice_ = cluster.endpoint_slices(offset * 7919 % size.services, size.endpoints, offset=offset)[-1]
        slice_["metadata"]["annotations"] = {TRIGGERED: datetime.now(UTC).isoformat()}
        store.apply(slice_)
        due += 1 / rate
        await asyncio.sleep(max(0.0, due - now()))
    return count


async def _serve(size: Size) -> None:
    store = Store()
    api.fill(store, size)
    memory.settle()
    offsets = itertools.count(1)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async with ApiServer(store) as server:
        print(server.port, flush=True)
        while line := await reader.readline():
            rate, seconds = map(float, line.split())
            print(await _churn(store, size, rate, seconds, offsets), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(Size(int(sys.argv[1]), int(sys.argv[2]))))
