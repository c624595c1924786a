"""To IPVS mode and from it while connections come in and others stay: nobody notices."""

import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kproxy.lab.lab import Lab
from kproxy.lab.probe import Flow, Outcome, Result
from kproxy.lab.topology import EXTERNAL, NODE
from tests.reliability.served_lab import ServedLab, Traffic, report
from tests.switch.supervised_node import CLUSTER_IP, NODE_PORT, SupervisedNode

pytestmark = [pytest.mark.root, pytest.mark.ipvs, pytest.mark.timeout(560)]

PATIENCE = 20.0
"""Seconds that an answer may take: the machine is emulated."""
RATE = 8.0
LONG = pytest.mark.skipif(not os.environ.get("KPROXY_LONG"), reason="takes minutes: KPROXY_LONG=1")


@pytest.fixture
async def slow_lab() -> AsyncIterator[Lab]:
    async with Lab.open(patience=PATIENCE) as made:
        yield made


class Stayers:
    """Connections that stay from one mode to the next, each with the answer that it got first."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._flows: list[tuple[str, Flow, Outcome]] = []

    async def add(self, mode: str) -> None:
        """Connect to the cluster IP and to the NodePort."""
        for client, address, port in (("pod-x", CLUSTER_IP, 80), (EXTERNAL.name, str(NODE.address.v4.ip), NODE_PORT)):
            flow = self._lab.flow(client, "TCP", address, port)
            self._flows.append((f"of {mode} mode, {client}", flow, await flow.ask()))

    async def broken(self) -> list[str]:
        """Those that answer no more, or from elsewhere."""
        return [
            words for words, flow, first in self._flows if first.result is not Result.OK or await flow.ask() != first
        ]

    def __len__(self) -> int:
        return len(self._flows)


ROUND_TRIPS = pytest.mark.parametrize(
    "modes", [("iptables", "ipvs", "nftables"), ("nftables", "ipvs", "iptables")], ids="-".join
)


async def test_from_ipvs_in_place(slow_lab: Lab, tmp_path: Path) -> None:
    await go_through(slow_lab, tmp_path, ("ipvs", "nftables"), restart="true")


@LONG
@ROUND_TRIPS
async def test_in_place(slow_lab: Lab, tmp_path: Path, modes: tuple[str, ...]) -> None:
    await go_through(slow_lab, tmp_path, modes, restart="true")


@LONG
@ROUND_TRIPS
async def test_by_restart(slow_lab: Lab, tmp_path: Path, modes: tuple[str, ...]) -> None:
    await go_through(slow_lab, tmp_path, modes)


async def go_through(lab: Lab, folder: Path, modes: tuple[str, ...], restart: str = "") -> None:
    """Switch from each mode to the next, with connections of all modes before it open."""
    async with SupervisedNode.run(lab, folder, modes[0]) as node:
        stayers = Stayers(lab)
        for before, after in itertools.pairwise(modes):
            await stayers.add(before)
            traffic = Traffic(ServedLab(lab, node.api), RATE)
            async with traffic.flowing():
                status, text = await node.switch("--to", after, "--patience", "200", restart=restart)
            assert status == 0, text + node.supervisor.output()
            broken = await stayers.broken()
            report(f"{before} -> {after}: {traffic}; {len(broken)} of {len(stayers)} that were there broke")
            traffic.check()
            assert not broken, text
