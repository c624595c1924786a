"""Traces of every row of the lab's scenarios, in every phase, against what is expected and what packets meet."""

from pathlib import Path

import pytest

from kproxy.backends.iptables.tool import Variant
from tests.inspect.trace.played import EVERY_SCENARIO, chosen, play
from tests.iptables.test_variants import link_default

pytestmark = pytest.mark.root

SAMPLED = 4


@pytest.fixture(autouse=True)
def lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The legacy programs' lock is a file, which namespaces would share."""
    monkeypatch.setenv("XTABLES_LOCKFILE", str(tmp_path / "xtables.lock"))


@pytest.mark.parametrize("name", EVERY_SCENARIO)
async def test_nftables(name: str) -> None:
    assert (await play(name, "nftables", sampled=SAMPLED)).rows


@pytest.mark.parametrize(
    "name", chosen("affinity", "clusterip", "localtraffic", "nodeportaddresses", "policies", "sourceranges", "updates")
)
async def test_iptables(name: str) -> None:
    assert (await play(name, "iptables", sampled=SAMPLED)).rows


@pytest.mark.parametrize("name", chosen("affinity", "policies"))
async def test_iptables_legacy(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link_default(Variant.LEGACY, tmp_path, monkeypatch)
    assert (await play(name, "iptables", sampled=SAMPLED)).rows


@pytest.mark.parametrize("name", chosen("affinity", "localtraffic", "policies", "updates"))
async def test_userspace(name: str) -> None:
    assert (await play(name, "userspace", sampled=SAMPLED)).rows
