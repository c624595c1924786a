"""From one node's measured costs to a cluster: nodes × Services × churn."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from kproxy.bench import cluster
from kproxy.bench.model.curves import Curve, Estimate
from kproxy.bench.results.schema import Result

ASSUMPTIONS: Final = (
    "every node runs one proxy, each follows all Services and EndpointSlices, and nothing else loads the node",
    "a change is one endpoint of one Service, written as one EndpointSlice update; changes come evenly spread",
    "watch events are JSON, uncompressed, with the objects' usual size (protobuf would be about a third)",
    "a busy proxy takes the changes that came meanwhile together, in a sync that costs as much as that of a single one",
    "a proxy uses one core at most",
    "a change waits for half a sync in progress in proportion to how busy the proxy is, then takes its own sync",
    "costs lie on straight lines between measured numbers of Services, on logarithmic axes",
    "beyond them (marked *) they go on in the same direction, but never downwards",
    "cores are like the measured machine's; the API server's work is the hollow run's, for each event and watcher",
)


class ApiCosts(NamedTuple):
    """Of the embedded API server, as the hollow run found them. Another server has other ones."""

    cpu_per_delivery: float
    """Seconds for one event to one watcher."""


class Case(NamedTuple):
    nodes: int
    services: int
    churn: float
    """Changes per second in the cluster."""


class Prediction(NamedTuple):
    contender: str
    mode: str
    case: Case
    deliveries: float
    """Watch events per second that the API server sends, all nodes together."""
    api_bandwidth: float
    """Bytes per second, all nodes together."""
    api_cores: float | None
    relist: float
    """Bytes that all proxies list when they start at once."""
    node_cpu: Estimate
    """Share of a core."""
    latency: Estimate
    """Seconds from the write of a change until a node's connections see it."""
    node_memory: Estimate | None
    """Bytes, of the proxy."""


def predict(result: Result, cases: Sequence[Case], endpoints: int, api: ApiCosts | None) -> Iterator[Prediction]:
    """Predict each case for each contender and mode with a measured cost of a change.

    Args:
        result: of a local run
        cases: the clusters
        endpoints: of each Service, which the run was made with
        api: where a hollow run was made
    """
    names = dict.fromkeys((run.contender, run.mode) for run in result.runs)
    event, items = _sizes(endpoints)
    for contender, mode in names:
        cpu, update, resident = (
            Curve.of(result, contender, mode, figure) for figure in ("cpu_change", "update_connection", "resident")
        )
        if cpu is None or update is None:
            continue
        for case in cases:
            deliveries = case.churn * case.nodes
            yield Prediction(
                contender,
                mode,
                case,
                deliveries,
                deliveries * event,
                deliveries * api.cpu_per_delivery if api else None,
                float(case.nodes) * case.services * items,
                _node_cpu(cpu, update, case),
                _latency(update, case),
                resident.at(case.services) if resident else None,
            )


def _node_cpu(cpu: Curve, update: Curve, case: Case) -> Estimate:
    each, sync = cpu.at(case.services), update.at(case.services)
    # A proxy is one process with one busy thread, so it never takes more than a core, nor syncs while it syncs.
    syncs = min(case.churn, 1 / max(sync.value, each.value))
    return Estimate(syncs * each.value, each.extrapolated)


def _latency(update: Curve, case: Case) -> Estimate:
    sync = update.at(case.services)
    busy = min(1.0, case.churn * sync.value)
    return Estimate(sync.value * (1 + busy / 2), sync.extrapolated)


def _sizes(endpoints: int) -> tuple[float, float]:
    """Bytes of a watch event about a slice, and of a Service with its slices in lists."""
    slices = cluster.endpoint_slices(0, endpoints)
    event = len(msgspec.json.encode({"type": "MODIFIED", "object": slices[-1]}))
    return float(event), float(len(msgspec.json.encode([cluster.service(0), *slices])))
