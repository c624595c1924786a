"""Extrapolation from made-up curves, and hollow proxies against a real API server."""

import pytest

from kproxy.bench.cluster import Size
from kproxy.bench.model.curves import Curve
from kproxy.bench.model.extrapolation import ApiCosts, Case, predict
from kproxy.bench.model.hollow import measure
from tests.bench.results import result


def test_a_linear_cost_stays_linear_between_and_beyond() -> None:
    curve = Curve(((100.0, 1.0), (1000.0, 10.0)))
    assert curve.at(300).value == pytest.approx(3.0)
    assert not curve.at(300).extrapolated
    assert curve.at(10_000).value == pytest.approx(100.0)
    assert curve.at(10_000).extrapolated
    assert curve.at(10).value == pytest.approx(0.1)


def test_a_cost_never_falls_beyond_what_was_measured() -> None:
    curve = Curve(((100.0, 2.0), (1000.0, 1.0)))
    assert curve.at(100_000).value == 1.0
    assert curve.at(300).value < 2.0


def test_one_point_is_level() -> None:
    assert Curve(((100.0, 2.0),)).at(5000) == (2.0, True)


def test_predictions_follow_the_case() -> None:
    cases = [Case(100, 1000, 10.0), Case(1000, 1000, 10.0), Case(100, 1000, 1e6)]
    found = {(p.mode, p.case): p for p in predict(result(), cases, 10, ApiCosts(1e-5))}
    few, many, storm = (found["iptables", case] for case in cases)
    assert (few.deliveries, many.deliveries) == (1000, 10_000)
    assert few.api_cores == pytest.approx(0.01)
    assert many.api_bandwidth == pytest.approx(10 * few.api_bandwidth)
    assert many.node_cpu == few.node_cpu  # a node has the same to do, however many there are
    assert few.node_cpu.value == pytest.approx(10 * 0.005)
    # A busy node takes changes together, and one that comes waits for the sync in progress.
    assert storm.node_cpu.value < 1.0
    assert few.latency.value < storm.latency.value <= 1.5 * 0.0106


async def test_hollow_proxies_get_every_change() -> None:
    found = await measure(5, Size(20, 3), 40.0, 0.5, lambda words: None)
    assert found.changes == 20
    assert found.deliveries == 100
    assert 0 < found.latency_median <= found.latency_p99 <= found.latency_most
    assert found.list_bytes > 5 * 20 * 1000
    assert found.cpu_per_delivery > 0
