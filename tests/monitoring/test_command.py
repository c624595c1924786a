"""`kproxy monitoring` as people and scripts call it."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from kproxy.cli.monitoring import _JOB, _OBJECTIVE, _WITHIN, app
from kproxy.monitoring.artifacts import artifacts
from kproxy.monitoring.settings import Settings


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_commands_defaults_are_the_settings() -> None:
    assert Settings(job=_JOB, objective=_OBJECTIVE, within=_WITHIN) == Settings()


def test_rules_and_dashboard_are_printed_as_they_are_deployed() -> None:
    files = artifacts(Settings())
    code, rules, _ = run("rules")
    assert code == 0
    assert files["rules.yaml"].endswith(rules)
    assert run("dashboard") == (0, files["dashboard.json"], "")


def test_alerts_are_listed() -> None:
    code, table, _ = run("alerts")
    assert code == 0
    (down,) = [line.split(maxsplit=3) for line in table.splitlines() if line.startswith("KubeProxyDown")]
    assert down[1:3] == ["critical", "5m"]
    _, printed, _ = run("alerts", "-o", "json")
    _, as_yaml, _ = run("alerts", "-o", "yaml")
    assert json.loads(printed) == yaml.safe_load(as_yaml)
    assert len(json.loads(printed)) == len(table.splitlines()) - 1


def test_files_are_written_into_a_folder_that_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "some" / "where"
    code, printed, _ = run("write", str(folder), "--job", "kube-system/kube-proxy")
    assert code == 0
    made = artifacts(Settings(job="kube-system/kube-proxy"))
    assert {path.name: path.read_text() for path in folder.iterdir()} == made
    assert len(printed.split()) == len(made)


@pytest.mark.parametrize(
    ("arguments", "problem", "status"),
    [
        (["rules", "--within", "7.5"], "within 7.5 s: must be a bucket", 2),
        (["alerts", "--objective", "99"], "objective 99: must be at least", 2),
        (["write", "/proc/none", "--job", "a b"], "job 'a b': must be", 2),
        (["write", "/proc/none"], "kproxy monitoring write: [Errno", 1),
    ],
)
def test_what_cannot_be_done_is_one_line(arguments: list[str], problem: str, status: int) -> None:
    code, printed, complaint = run(*arguments)
    assert (code, printed) == (status, "")
    assert problem in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("command", ["rules", "alerts", "dashboard", "write"])
def test_help_has_examples(command: str) -> None:
    code, printed, _ = run(command, "--help")
    assert code == 0
    assert f"kproxy monitoring {command}" in printed
