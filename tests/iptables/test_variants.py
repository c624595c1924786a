"""Which of the two programs of the same name the node uses."""

import os
import shutil
from pathlib import Path

import pytest

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.backends.iptables.variants import choose
from kproxy.services.addresses import Family
from tests.iptables.kernel_state import FAMILIES, backend, manifest, tools_of, tracker_of, written
from tests.iptables.test_repair import iptables

pytestmark = pytest.mark.usefixtures("network_namespace", "lock_file")


def chosen() -> Variant:
    variants = {tool.variant for tool in choose(FAMILIES).values()}
    assert len(variants) == 1
    return variants.pop()


@pytest.fixture(params=Variant)
def default(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Variant:
    """Make each variant the distribution's default in turn."""
    variant = request.param
    assert isinstance(variant, Variant)
    link_default(variant, tmp_path, monkeypatch)
    return variant


def link_default(variant: Variant, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a variant the distribution's default, as alternatives do: by links in a folder that comes first in PATH."""
    for name in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            program = shutil.which(f"{name}-{variant.value}{suffix}")
            assert program
            (folder / f"{name}{suffix}").symlink_to(Path(program).resolve())
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_node_without_rules_uses_the_default(default: Variant) -> None:
    assert chosen() is default


@pytest.mark.parametrize("used", Variant)
def test_the_variant_that_holds_rules_is_used(default: Variant, used: Variant) -> None:
    iptables(tools_of(used)[Family.IPV4], "-A", "INPUT", "-j", "ACCEPT")
    assert chosen() is used


@pytest.mark.parametrize("used", Variant)
async def test_a_proxys_canary_counts_more_than_rules(default: Variant, used: Variant) -> None:
    written(await backend(tools_of(used)).sync_all((), tracker_of(manifest("topology"))))
    for variant in Variant:
        for _ in range(100):
            if variant is not used:
                iptables(tools_of(variant)[Family.IPV4], "-A", "INPUT", "-j", "ACCEPT")
    assert chosen() is used


@pytest.mark.parametrize("used", Variant)
async def test_a_kubelets_hint_counts_most(default: Variant, used: Variant) -> None:
    other = next(variant for variant in Variant if variant is not used)
    written(await backend(tools_of(other)).sync_all((), tracker_of(manifest("topology"))))
    iptables(tools_of(used)[Family.IPV4], "-t", "mangle", "-N", "KUBE-IPTABLES-HINT")
    assert chosen() is used


def test_missing_and_old_programs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendError, match="needs the iptables package: iptables: cannot be run: No such file"):
        choose(FAMILIES)
    program = tmp_path / "iptables"
    program.write_text("#!/bin/sh\necho iptables v1.4.21\n", encoding="ascii")
    program.chmod(0o755)
    with pytest.raises(BackendError, match=r"needs iptables 1\.6\.2 or newer: iptables is iptables v1\.4\.21"):
        choose(FAMILIES)


def test_a_tool_says_which_it_is() -> None:
    assert str(Tool(Family.IPV6, Variant.LEGACY, infix="-legacy")) == "ip6tables-legacy (legacy)"
