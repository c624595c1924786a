"""What `kproxy lab` runs."""

from pathlib import Path

import pytest

from kproxy.lab.command import list_scenarios, play
from kproxy.lab.runner import SCENARIOS

from .test_runner import SCENARIO, STANDIN


def test_every_scenario_is_listed() -> None:
    names = [line.split()[0] for line in list_scenarios().splitlines()]
    assert names == sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


@pytest.mark.root
def test_the_exit_status_says_whether_all_rows_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "standin.yaml"
    path.write_text(SCENARIO)
    assert play(["clusterip", str(path)], "nftables", "api", []) == 0
    assert "75 of 75 rows hold" in capsys.readouterr().out
    path.write_text(SCENARIO.replace("name: web goes", "name: nothing happens").replace("{web: null}", "{}"))
    assert play([str(path)], "nftables", "api", []) == 1
    assert play([str(path)], "nftables", "api", [*STANDIN, "--fault", "exit"]) == 2
    assert "no such mode" in capsys.readouterr().err


@pytest.mark.parametrize(("scenario", "source"), [("nonsense", "api"), ("clusterip", "etcd")])
@pytest.mark.root
def test_what_cannot_be_run_is_said(scenario: str, source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert play([scenario], "nftables", source, STANDIN) == 2
    assert ("nonsense" if scenario == "nonsense" else "etcd") in capsys.readouterr().err
