"""A change of mode, by restart and in place, while connections come in: nobody notices."""

import itertools
from functools import partial

import pytest

from tests.reliability.served_lab import ServedLab, Traffic, reconfigure, report

pytestmark = pytest.mark.root


async def test_every_change_by_restart(served: ServedLab) -> None:
    modes = (
        "nftables",
        "iptables-legacy",
        "nftables",
        "iptables-nft",
        "iptables-legacy",
        "iptables-nft",
        "nftables",
    )
    async with served.proxy(modes[0]):
        assert served.modes() == {modes[0]}
    for before, after in itertools.pairwise(modes):
        mode, _, variant = after.partition("-")
        if variant:
            served.prefer(variant)
        traffic = Traffic(served)
        async with traffic.flowing(), served.proxy(mode) as proxy:
            await served.eventually(partial(served.has, after), proxy)
        report(f"{before} -> {after}: {traffic}")
        traffic.check()


@pytest.mark.parametrize("variant", ["legacy", "nft"])
async def test_there_and_back_in_place(served: ServedLab, variant: str) -> None:
    served.prefer(variant)
    there = f"iptables-{variant}"
    async with served.proxy("nftables") as proxy:
        for mode, wanted in (("iptables", there), ("nftables", "nftables")):
            traffic = Traffic(served)
            async with traffic.flowing():
                reconfigure(proxy, mode)
                await served.eventually(partial(served.has, wanted), proxy)
            report(f"reload to {wanted}: {traffic}")
            traffic.check()
