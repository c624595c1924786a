"""Userspace mode without redirection, for its benchmark: `python -m kproxy.bench.userspace_proxy WORKERS PORTS`.

Prints a line of JSON when it serves: the local port of each endpoint and the workers' process ids.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Mapping
from typing import Any

import msgspec

from kproxy.backends.userspace.backend import UserspaceBackend
from kproxy.backends.userspace.options import Redirect, UserspaceOptions
from kproxy.services.objects import EndpointSlice, Service
from kproxy.services.tracker import ServiceTracker

_LOCALHOST = bytes((127, 0, 0, 1))


def _tracker(ports: Mapping[str, int]) -> ServiceTracker:
    metadata = {"name": "bench", "namespace": "bench", "labels": {"kubernetes.io/service-name": "bench"}}
    service = {
        "metadata": metadata,
        "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": name, "port": port} for name, port in ports.items()]},
    }
    slice_: dict[str, Any] = {
        "metadata": metadata,
        "addressType": "IPv4",
        "ports": [{"name": name, "port": port} for name, port in ports.items()],
        "endpoints": [{"addresses": ["127.0.0.1"]}],
    }
    tracker = ServiceTracker("bench")
    tracker.upsert(msgspec.convert(service, Service))
    tracker.upsert(msgspec.convert(slice_, EndpointSlice))
    return tracker


async def _serve(workers: int, ports: Mapping[str, int]) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    options = UserspaceOptions(redirect=Redirect.NONE, bind=(_LOCALHOST,), workers=workers)
    backend = UserspaceBackend((), options)
    try:
        await backend.sync_all((), _tracker(ports))
        local = {each.service.partition(":")[2]: each.local_port for each in backend.local_services()}
        print(json.dumps({"ports": local, "pids": backend.worker_pids()}), flush=True)
        await stopped.wait()
    finally:
        backend.close()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), json.loads(sys.argv[2])))
