import pytest

from kproxy.lab.commits import CommitMonitor
from kproxy.lab.lab import Lab
from kproxy.lab.probe import now

from .nft import run_nft

pytestmark = pytest.mark.root


async def test_a_transaction_is_seen_with_its_author(lab: Lab) -> None:
    node = lab.namespace("node")
    with CommitMonitor(node) as monitor:
        before = now()
        run_nft(node, "add table ip one")
        (commit,) = await monitor.burst_since(before, patience=2, quiet=0.05)
        assert before <= commit.at <= now()
        assert commit.program == "nft"
        assert commit.pid > 0
        run_nft(node, "delete table ip one")
        _, later = await monitor.burst_since(before, patience=2, quiet=0.05)
        assert later.generation == commit.generation + 1


async def test_thousands_of_elements_do_not_hide_the_commit(lab: Lab) -> None:
    node = lab.namespace("node")
    with CommitMonitor(node) as monitor:
        before = now()
        elements = ", ".join(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}" for i in range(30_000))
        run_nft(
            node, f"add table ip many\nadd set ip many s {{ type ipv4_addr; }}\nadd element ip many s {{ {elements} }}"
        )
        assert len(await monitor.burst_since(before, patience=5, quiet=0.05)) == 1


async def test_other_namespaces_are_not_heard(lab: Lab) -> None:
    with CommitMonitor(lab.namespace("node")) as monitor:
        run_nft(lab.namespace("peer"), "add table ip elsewhere")
        with pytest.raises(TimeoutError):
            await monitor.burst_since(0, patience=0.1, quiet=0.05)
