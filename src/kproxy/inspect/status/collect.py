"""Gathers the report: the proxy over HTTP, the kernel, and the API, each as far as it can be reached."""

import asyncio
import time
from typing import NamedTuple

from kproxy.inspect.desired import DesiredState, Where, read_desired
from kproxy.inspect.detection.detect import Detection, detect
from kproxy.inspect.detection.settings import FoundSettings, endpoints, find_settings
from kproxy.inspect.output import InspectionError
from kproxy.inspect.status import proxy_facts
from kproxy.inspect.status.drift import measure_drift
from kproxy.inspect.status.report import Conntrack, Objects, Stale, Status
from kproxy.kernel.sysctls import read_sysctl
from kproxy.services.addresses import Family
from kproxy.services.model import Endpoint, ServiceName


class Collected(NamedTuple):
    """The report, and what it was made of."""

    status: Status
    desired: DesiredState | None
    detection: Detection


async def collect(where: Where) -> Collected:
    """Look at everything once.

    Raises:
        InspectionError: what the options name cannot be read
    """
    found = await asyncio.to_thread(find_settings, where)
    metrics, healthz = endpoints(found.settings.configuration, where)
    problems = [found.problem] if found.problem else []
    detection, desired = await asyncio.gather(detect(metrics, healthz), asyncio.to_thread(_desired, where, found))
    if isinstance(desired, str):
        problems.append(desired)
        desired = None
    return Collected(await _status(detection, desired, found, problems), desired, detection)


def _desired(where: Where, found: FoundSettings) -> DesiredState | str | None:
    try:
        return read_desired(where, found.settings)
    except InspectionError as error:
        return str(error)


async def _status(
    detection: Detection, desired: DesiredState | None, found: FoundSettings, problems: list[str]
) -> Status:
    running = detection.running
    kernel: dict[str, int] = {}
    for footprint in detection.active:
        for kind, number in footprint.objects.items():
            kernel[kind] = kernel.get(kind, 0) + number
    return Status(
        node=found.settings.node,
        mode=detection.mode,
        proxy=detection.owner.value if detection.owner else None,
        running=running is not None,
        evidence=detection.evidence,
        configuration=found.settings.origin,
        syncs=proxy_facts.syncs(running, time.time()) if running else (),
        changes=proxy_facts.changes(running, "total") if running else None,
        pending=proxy_facts.changes(running, "pending") if running else None,
        failures=proxy_facts.failures(running) if running else (),
        objects=_objects(desired) if desired else None,
        kernel=kernel,
        conntrack=read_conntrack(),
        health=proxy_facts.health(running.healthz if running else None),
        drift=await asyncio.to_thread(measure_drift, desired, detection.mode),
        stale=tuple(Stale(mode=each.mode, owner=each.owner.value, evidence=each.evidence) for each in detection.stale),
        problems=(*detection.problems, *problems),
    )


def _objects(desired: DesiredState) -> Objects:
    endpoints: set[Endpoint] = set()
    ports = 0
    empty: list[ServiceName] = []
    for name in desired.tracker.names():
        models = [port for family in Family for port in desired.tracker.ports(name, family)]
        ports += len(models)
        endpoints.update(endpoint for port in models for endpoint in port.cluster_endpoints)
        if models and not any(port.has_endpoints for port in models):
            empty.append(name)
    return Objects(
        source=desired.origin,
        services=sum(1 for _ in desired.tracker.names()),
        ports=ports,
        endpoints=len(endpoints),
        without_endpoints=tuple(map(str, sorted(empty))),
        problems=desired.problems,
    )


def read_conntrack() -> Conntrack | None:
    """The connection tracking table's size and limit; None where the kernel has none."""
    try:
        entries = read_sysctl("net/netfilter/nf_conntrack_count")
        limit = read_sysctl("net/netfilter/nf_conntrack_max")
    except OSError:
        return None
    if entries is None or limit is None:
        return None
    return Conntrack(entries=int(entries), limit=int(limit))
