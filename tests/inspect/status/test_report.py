"""The figures of the report, and how they are told."""

import math
from collections import Counter
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from kproxy.inspect.detection.endpoint import Answer, RunningProxy, read_metrics
from kproxy.inspect.detection.footprints import Owner
from kproxy.inspect.status import proxy_facts
from kproxy.inspect.status.histograms import durations, quantile
from kproxy.inspect.status.live import sparkline
from kproxy.inspect.status.rates import Rates
from kproxy.inspect.status.report import Conntrack, Drift, Health, Status
from kproxy.inspect.status.show import seconds, show

STOCK = b"""
go_goroutines 50
kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.01"} 90
kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.1"} 100
kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="+Inf"} 100
kubeproxy_sync_proxy_rules_duration_seconds_sum 1.5
kubeproxy_sync_proxy_rules_duration_seconds_count 100
kubeproxy_sync_proxy_rules_last_timestamp_seconds 1000
kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds 1001
kubeproxy_sync_proxy_rules_iptables_restore_failures_total 2
kubeproxy_sync_proxy_rules_service_changes_total 7
"""
"""As versions before v1.33 tell it: without families."""


def proxy(text: bytes) -> RunningProxy:
    return RunningProxy("127.0.0.1:10249", "iptables", Owner.KUBE_PROXY, tuple(read_metrics(text)), {}, None)


def test_metrics_of_old_and_new_proxies() -> None:
    (sync,) = proxy_facts.syncs(proxy(STOCK), now=1010.0)
    assert (sync.family, sync.age, sync.pending) == ("all", 10.0, True)
    assert sync.all is not None
    assert (sync.all.count, sync.all.mean) == (100, 0.015)
    assert sync.all.p99 == pytest.approx(0.091)
    assert proxy_facts.failures(proxy(STOCK))[0].count == 2
    assert proxy_facts.changes(proxy(STOCK), "total").services == 7
    labelled = STOCK.replace(b"seconds ", b'seconds{ip_family="IPv4"} ')
    assert [sync.family for sync in proxy_facts.syncs(proxy(labelled), now=1010.0)] == ["IPv4"]


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_its_rank(values: list[float], share: float) -> None:
    bounds = [0.001 * 2**k for k in range(18)]
    buckets = [(b, float(sum(v <= b for v in values))) for b in bounds] + [(math.inf, float(len(values)))]
    found = quantile(buckets, share)
    exact = sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
    upper = next(b for b in bounds if b >= exact)
    assert upper / 2 * 0.999 <= found <= upper * 1.001 or exact <= bounds[0]


def test_no_observations_are_no_durations() -> None:
    assert durations(read_metrics(b""), "kubeproxy_sync_proxy_rules_duration_seconds") is None


def test_health_answers() -> None:
    assert proxy_facts.health(Answer(200, b'{"nodeEligible":true}')).healthy
    leaving = proxy_facts.health(Answer(503, b'{"nodeEligible":false}'))
    assert not leaving.healthy
    assert "deleted" in leaving.detail
    assert not proxy_facts.health(None).healthy
    assert proxy_facts.health(Answer(200, b"ok")).healthy


def test_rates_decay_and_are_forgotten() -> None:
    rates = Rates()
    rates.tick(Counter(a=10), 2.0)
    rates.tick(Counter(b=3, a=1), 1.0)
    assert rates.now("a") == 1.0
    assert rates.names() == ["b", "a"]
    assert rates.history("b") == [0.0, 3.0]
    for _ in range(60):
        rates.tick(Counter(), 1.0)
    assert rates.names() == []
    assert sparkline([0.0, 1.0, 2.0], 5) == "   ▄█"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0000032, "3 µs"), (0.0123, "12.3 ms"), (4.0, "4 s"), (600, "10 min"), (86400, "24.0 h")]
)
def test_durations_are_readable(value: float, text: str) -> None:
    assert seconds(value) == text


def test_a_node_about_which_nothing_is_known_is_told_so() -> None:
    report = Status(
        node="n",
        mode=None,
        proxy=None,
        running=False,
        evidence=(),
        configuration="defaults",
        syncs=(),
        changes=None,
        pending=None,
        failures=(),
        objects=None,
        kernel={},
        conntrack=Conntrack(entries=96, limit=100),
        health=Health(healthy=False, status=None, node_eligible=None, detail="nothing answers /healthz"),
        drift=Drift(compared=False, differences=0, examples=(), reason="no API"),
        stale=(),
        problems=("needs root",),
    )
    out = StringIO()
    show(report, Console(file=out, width=120))
    for words in ("no proxy, and no rules", "nothing answers /healthz", "96 of 100 (96.0%)", "needs root"):
        assert words in out.getvalue()
    assert not report.fine
