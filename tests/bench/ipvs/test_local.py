"""A round of the local suite in IPVS mode, where there is IPVS."""

import os

import pytest

from kproxy.apiserver import Store
from kproxy.bench import api
from kproxy.bench.cluster import Size
from kproxy.bench.local import suite
from kproxy.bench.local.contenders import Mode, ours
from kproxy.bench.local.effort import Effort
from kproxy.bench.local.measurement import extra_services, measure
from kproxy.bench.results.schema import Run

pytestmark = [pytest.mark.root, pytest.mark.ipvs]

SIZE = Size(5, 2)
LOAD_SECONDS = 1 if os.environ.get("KPROXY_LONG") else 0
"""Four programs that start slowly in an emulated machine."""
BRIEF = Effort(1, 2, 3.0, 5, 3.0, LOAD_SECONDS, 0.2, 0.0, 0)


async def test_a_round_measures_ipvs() -> None:
    assert suite.available([Mode.IPVS]) == ([Mode.IPVS], [])
    store = Store()
    api.fill(store, SIZE)
    extra_services(store, SIZE)
    run = Run("kproxy", "ipvs", *SIZE[:2])
    await measure(ours(), Mode.IPVS, SIZE, store, BRIEF, run, lambda words: None)
    samples = {name: figure.samples for name, figure in run.figures.items()}
    assert run.problems == []
    assert len(samples["update_connection"]) == 2
    assert len(samples["connect_last"]) == 5
    # A virtual server a Service port, and a real one an endpoint; those of the two extra Services as well.
    assert samples["kernel_objects"][0] >= SIZE.services + SIZE.total
    assert {"full_sync", "kernel_memory", "cpu_change"} < samples.keys()
    assert ({"requests", "throughput"} <= samples.keys()) is (LOAD_SECONDS > 0)
