"""What the fault tests share: a lab under load, and a node with an API and a proxy in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.daemon.node import Node, endpoint_slice, node, service
from tests.reliability.served_lab import ServedLab, served_lab


@pytest.fixture
def lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The legacy iptables programs' lock is a file, which namespaces would share."""
    path = tmp_path / "xtables.lock"
    monkeypatch.setenv("XTABLES_LOCKFILE", str(path))
    return path


@pytest.fixture
async def served(lock_file: Path) -> AsyncIterator[ServedLab]:
    async with served_lab() as made:
        yield made


@pytest.fixture
async def here(tmp_path: Path, lock_file: Path) -> AsyncIterator[Node]:
    async with Node(tmp_path) as made:
        made.store.apply(node())
        made.store.apply(service())
        made.store.apply(endpoint_slice("web", "10.244.1.1", "10.244.1.2"))
        yield made
