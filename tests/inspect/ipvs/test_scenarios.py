"""Traces of every row of the lab's scenarios in IPVS mode, against what is expected and what packets meet."""

import pytest

from tests.inspect.trace.played import EMULATED, chosen, play

pytestmark = pytest.mark.ipvs

SAMPLED = 4


@pytest.mark.parametrize("name", chosen("affinity", "loadbalancer"))
async def test_every_row(name: str) -> None:
    assert (await play(name, "ipvs", sampled=SAMPLED, otherwise_in="iptables", patience=EMULATED)).rows
