"""How evenly the kernel spreads connections."""

import pytest

from kproxy.lab.goodness_of_fit import chi_square
from kproxy.lab.lab import Lab
from tests.packets.node_proxy import NodeProxy
from tests.packets.web import CLUSTER_IPS, EVERY_POD, slices, web

pytestmark = pytest.mark.root

CONNECTIONS = 10_000
FALSE_ALARMS = 1e-7
"""The probability that a fair proxy fails."""


async def test_ten_thousand_connections_are_spread_evenly(lab: Lab) -> None:
    lab.patience = 5.0
    with NodeProxy(lab, [web(), *slices(EVERY_POD)]):
        sample = await lab.sample("pod-x", "TCP", CLUSTER_IPS[4], 80, CONNECTIONS)
    assert not sample.failures
    _, probability = chi_square([sample.pods[pod] for pod in EVERY_POD])
    assert probability > FALSE_ALARMS, sample.pods
