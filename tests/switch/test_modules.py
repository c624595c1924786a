"""Modules are listed for the next boot if they are modules here."""

from pathlib import Path

import pytest

from kproxy.switch import modules
from kproxy.switch.preflight import kernel_obstacle, modules_for


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system that has ip_vs as a module, nf_conntrack built in, and no ip_vs_xx."""
    for name, files in {"ip_vs": ["initstate"], "nf_conntrack": []}.items():
        (tmp_path / "sys" / name).mkdir(parents=True)
        for file in files:
            (tmp_path / "sys" / name / file).touch()
    monkeypatch.setattr(modules, "_SYS", tmp_path / "sys")
    monkeypatch.setattr(modules, "load_module", lambda name: "no such module" if name == "ip_vs_xx" else None)
    return tmp_path / "modules-load.d"


def test_only_modules_are_listed(system: Path) -> None:
    done = modules.load_and_persist("ipvs", ("ip_vs", "ip_vs_xx", "nf_conntrack"), system)
    assert done == f"ip_vs loaded, and in {system / 'kproxy.conf'}"
    lines = (system / "kproxy.conf").read_text().splitlines()
    assert lines == ["# Kernel modules of the proxy mode ipvs; written by kproxy switch.", "ip_vs"]
    modules.load_and_persist("nftables", ("ip_vs",), system)
    assert "nftables" in (system / "kproxy.conf").read_text()


def test_nothing_is_written_where_all_is_built_in(system: Path) -> None:
    assert "built into this kernel" in modules.load_and_persist("nftables", ("nf_conntrack",), system)
    assert not system.exists()


def test_what_modes_need() -> None:
    assert "ip_vs_sh" in modules_for("ipvs", "sh")
    assert "ip_vs_rr" in modules_for("ipvs")
    assert kernel_obstacle("nftables", "5.4.0-1-generic").startswith("nftables mode needs Linux 5.13")
    assert not kernel_obstacle("nftables", "5.13.0")
    assert not kernel_obstacle("iptables", "4.18.0")
