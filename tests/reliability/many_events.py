"""Events by the million through decoder, tracker, nftables backend and metrics, and what memory they leave in use.

Names, addresses, ports, timeouts and time stamps are new all the time, as they are in a cluster over months, while the
cluster stays as large as it is. `python -m tests.reliability.many_events 1000000` prints a line for each tenth.
"""

import asyncio
import ctypes
import gc
import json
import logging
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kproxy.backends.nftables.backend import NftablesBackend
from kproxy.backends.nftables.ruleset import RulesetOptions
from kproxy.daemon.proxier import Proxier
from kproxy.daemon.sync_metrics import SyncMetrics
from kproxy.lab.namespaces import Namespace
from kproxy.node.health import ProxyHealth
from kproxy.node.metrics import Metrics
from kproxy.node.service_health import ServiceHealth
from kproxy.node.stale_flows import StaleFlows
from kproxy.services.addresses import Family
from kproxy.services.objects import EndpointSlice, Service
from kproxy.services.tracker import ServiceTracker
from kproxy.sources.delivery import Delivery
from kproxy.sources.wire import ObjectDecoder, decode_event, decode_partial

SERVICES = 200
"""How many exist at a time."""
_BATCH = 200
"""Events between two syncs."""
_RELIST = 20
"""Syncs between two relists."""

Event = tuple[type[Service] | type[EndpointSlice], str, dict[str, Any]]


class Measurement(NamedTuple):
    events: int
    resident: int
    """Bytes."""
    metrics: int
    """Lines of the metrics page."""
    elements: int
    """In the kernel."""

    def __str__(self) -> str:
        return (
            f"{self.events:>9,} events  {self.resident / 2**20:7.1f} MiB resident  "
            f"{self.elements:>6,} elements in the kernel  {self.metrics:>4} lines of metrics"
        )


class Cluster:
    """Makes events: Services that come, change and go."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._number = 0
        self._version = 0
        self.objects: dict[tuple[type, str], dict[str, Any]] = {}
        self._services: list[int] = []

    def events(self) -> Iterator[Event]:
        """Without end: most are endpoints that change, some Services that are replaced by others."""
        while True:
            if len(self._services) < SERVICES:
                self._number += 1
                self._services.append(self._number)
                yield self._put(Service, self._service(self._number))
                yield self._put(EndpointSlice, self._slice(self._number))
            elif self._random.random() < 0.1:
                gone = self._services.pop(self._random.randrange(len(self._services)))
                yield self._delete(EndpointSlice, gone)
                yield self._delete(Service, gone)
            else:
                yield self._put(EndpointSlice, self._slice(self._random.choice(self._services)))

    def _put(self, kind: type[Service] | type[EndpointSlice], made: dict[str, Any]) -> Event:
        known = self.objects.get((kind, made["metadata"]["name"]))
        self.objects[kind, made["metadata"]["name"]] = made
        return kind, "MODIFIED" if known else "ADDED", made

    def _delete(self, kind: type[Service] | type[EndpointSlice], number: int) -> Event:
        return kind, "DELETED", self.objects.pop((kind, f"service-{number}"))

    def _metadata(self, number: int) -> dict[str, Any]:
        self._version += 1
        return {
            "name": f"service-{number}",
            "namespace": f"namespace-{number % 1000}",
            "resourceVersion": str(self._version),
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }

    def _service(self, number: int) -> dict[str, Any]:
        protocol = "UDP" if number % 5 == 0 else "TCP"
        address = f"10.{96 + number // 65000 % 8}.{number // 250 % 256}.{number % 250 + 1}"
        spec: dict[str, Any] = {
            "clusterIP": address,
            "clusterIPs": [address],
            "ports": [{"name": "p", "port": 80 + number % 1000, "targetPort": 8080, "protocol": protocol}],
        }
        if number % 3:
            spec["sessionAffinity"] = "ClientIP"
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": 1 + number % 86400}}
        if number % 4 == 0:
            spec["type"] = "NodePort"
            spec["externalTrafficPolicy"] = "Local"
            spec["ports"][0]["nodePort"] = 30000 + number % 2500
        if number % 7 == 0:  # what the API would never let in: left out, and told of
            spec["externalIPs"] = [f"203.0.113.{number}"]
        if number % 11 == 0:  # does not decode
            spec["ports"] = "none"
        return {"apiVersion": "v1", "kind": "Service", "metadata": self._metadata(number), "spec": spec}

    def _slice(self, number: int) -> dict[str, Any]:
        address = self._random.randrange(1 << 16)
        endpoints = [
            {
                "addresses": [f"10.244.{(address + i) >> 8 & 255}.{(address + i) & 255}"],
                "nodeName": f"node-{self._random.randrange(5)}",
                "zone": f"zone-{self._version % 10_000}",
            }
            for i in range(self._random.randrange(1, 8))
        ]
        metadata = self._metadata(number)
        metadata["labels"] = {"kubernetes.io/service-name": f"service-{number}"}
        stamp = f"2026-01-01T{self._version // 3600 % 24:02}:{self._version // 60 % 60:02}:{self._version % 60:02}Z"
        metadata["annotations"] = {"endpoints.kubernetes.io/last-change-trigger-time": stamp}
        ports = [{"name": "p", "port": 8080, "protocol": "UDP" if number % 5 == 0 else "TCP"}]
        return {"metadata": metadata, "addressType": "IPv4", "ports": ports, "endpoints": endpoints}


class Pipeline:
    """What the daemon has between a watch's bytes and the kernel."""

    def __init__(self) -> None:
        self.problems = 0
        self._backend = NftablesBackend((Family.IPV4,), RulesetOptions())
        self._metrics = Metrics()
        self._tracker = ServiceTracker("node-0", on_problem=self._on_problem)
        self._flows = StaleFlows((Family.IPV4,))
        self._proxier = Proxier(
            self._tracker,
            self._backend,
            SyncMetrics(self._tracker, self._backend, self._metrics, ProxyHealth((Family.IPV4,), 30)),
            self._flows,
            ServiceHealth(lambda: True),
        )
        kinds: tuple[type[Any], ...] = (Service, EndpointSlice)
        self._decoders: dict[type, ObjectDecoder[Any]] = {kind: ObjectDecoder(kind) for kind in kinds}
        self._deliveries: dict[type, Delivery[Any]] = {kind: Delivery(kind, self._tracker) for kind in kinds}

    def take(self, kind: type[Service] | type[EndpointSlice], line: bytes) -> None:
        """One line of a watch."""
        event = decode_event(line)
        delivery = self._deliveries[kind]
        if event.type == "DELETED":
            meta = decode_partial(event.object)
            delivery.remove(meta.namespace, meta.name)
        else:
            delivery.take(self._decoders[kind].decode(event.object))

    def relist(self, cluster: Cluster) -> None:
        """Everything anew, as after a lost connection."""
        for kind in (Service, EndpointSlice):
            delivery = self._deliveries[kind]
            decoder = self._decoders[kind]
            delivery.begin_snapshot()
            for (of, _), made in list(cluster.objects.items()):
                if of is kind:
                    delivery.take(decoder.decode(json.dumps(made).encode()))
            delivery.end_snapshot()

    async def sync(self) -> None:
        assert await self._proxier.sync()
        await self._flows.idle()

    def measured(self, events: int) -> Measurement:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        elements = sum(self._backend.object_counts()[Family.IPV4].values())
        return Measurement(events, pages * 4096, len(self._metrics.text().splitlines()), elements)

    def _on_problem(self, problem: object) -> None:
        self.problems += 1

    async def close(self) -> None:
        await self._flows.close()
        self._backend.close()


async def measure(count: int, parts: int = 10) -> list[Measurement]:
    """Run events through a pipeline in this thread's network namespace; what is in use after each part of them."""
    cluster, pipeline = Cluster(), Pipeline()
    found: list[Measurement] = []
    events = cluster.events()
    syncs = 0
    try:
        for number in range(1, count + 1):
            kind, type_, made = next(events)
            pipeline.take(kind, json.dumps({"type": type_, "object": made}).encode())
            if number % _BATCH == 0:
                await pipeline.sync()
                syncs += 1
                if syncs % _RELIST == 0:
                    pipeline.relist(cluster)
            if number % (count // parts) == 0:
                found.append(pipeline.measured(number))
                if __name__ == "__main__":
                    print(found[-1], flush=True)
    finally:
        await pipeline.close()
    assert pipeline.problems
    return found


def main(count: int) -> None:
    logging.disable()  # of every object that is left out
    begin = time.perf_counter()
    namespace = Namespace("many-events")
    namespace.run(lambda: asyncio.run(measure(count)))
    namespace.close()
    print(f"{count / (time.perf_counter() - begin):,.0f} events a second")


if __name__ == "__main__":
    main(int(sys.argv[1]))
