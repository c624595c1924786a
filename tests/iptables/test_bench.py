"""The benchmark runs, at a size at which its figures mean nothing."""

import pytest

from kproxy.backends.iptables.tool import Variant
from kproxy.bench.cluster import Size
from kproxy.bench.iptables import measure


@pytest.mark.usefixtures("network_namespace", "lock_file")
@pytest.mark.parametrize("variant", Variant)
def test_figures_are_of_real_syncs(variant: Variant) -> None:
    figures = measure(Size(20, 3), variant)
    assert figures.full_sync.bytes > figures.change.bytes > 0
    assert 0 < figures.build < figures.full_sync.total
    assert figures.change.bare > 0
    assert figures.full_sync.ratio > 0
