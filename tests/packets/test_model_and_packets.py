"""Whatever Services there are: what the model promises is what a packet meets, from every vantage point."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from kproxy.lab.lab import Lab
from kproxy.lab.observation import Observer, render
from kproxy.lab.rejections import tcp6_rejections_arrive
from kproxy.services.objects import KubeObject
from tests.packets.node_proxy import NodeProxy
from tests.packets.prediction import predict
from tests.packets.strategies import clusters

pytestmark = pytest.mark.root

PATIENCE = 3.0
"""Seconds, so that a machine that stalls is not taken for a fault. TCP may send a lost packet again in that time; for
UDP, which every kind of address is tried with as well, one lost packet is still a fault."""
FEWEST_TRIES = 4
"""For each row of hundreds in each of many examples."""


class Bench:
    """One lab for all examples; its servers run while the loop does."""

    def __init__(self, runner: asyncio.Runner, lab: Lab) -> None:
        self._runner, self.lab = runner, lab
        self._tcp6_rejections = runner.run(tcp6_rejections_arrive(lab))

    def differences(self, proxy: NodeProxy, mode: str) -> str:
        """What packets meet that the model does not promise, as a table; empty if there is nothing."""
        observer = Observer(self.lab, tcp6_rejections=self._tcp6_rejections, fewest_tries=FEWEST_TRIES)
        found = self._runner.run(observer.differences(predict(proxy.ports(), mode)))
        return render(found) if found else ""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with asyncio.Runner() as runner:
        opened = Lab.open(patience=PATIENCE)
        lab = runner.run(opened.__aenter__())
        try:
            yield Bench(runner, lab)
        finally:
            runner.run(opened.__aexit__(None, None, None))


def hold(bench: Bench, mode: str, before: list[KubeObject], after: list[KubeObject]) -> None:
    with NodeProxy(bench.lab, before, mode=mode) as proxy:
        proxy.replace(before, after)
        assert not bench.differences(proxy, mode)


FEW = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@FEW
@given(before=clusters(), after=clusters())
def test_packets_meet_what_the_model_says(bench: Bench, before: list[KubeObject], after: list[KubeObject]) -> None:
    hold(bench, "nftables", before, after)


@FEW
@given(before=clusters(affinity=False), after=clusters(affinity=False))
def test_packets_meet_it_in_iptables_mode(bench: Bench, before: list[KubeObject], after: list[KubeObject]) -> None:
    """Without affinity: all addresses of a Service port share what they remember, so that rows depend on others."""
    hold(bench, "iptables", before, after)
