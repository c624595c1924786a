"""Both variants of the programs, in a namespace and under a lock of their own."""

from pathlib import Path

import pytest

from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.services.addresses import Family
from tests.iptables.kernel_state import tools_of


@pytest.fixture
def lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The legacy programs' lock is a file, which namespaces would share."""
    path = tmp_path / "xtables.lock"
    monkeypatch.setenv("XTABLES_LOCKFILE", str(path))
    return path


@pytest.fixture(params=Variant, ids=[variant.value for variant in Variant])
def tools(request: pytest.FixtureRequest, network_namespace: None, lock_file: Path) -> dict[Family, Tool]:
    """The programs of each variant in turn."""
    variant = request.param
    assert isinstance(variant, Variant)
    return tools_of(variant)
