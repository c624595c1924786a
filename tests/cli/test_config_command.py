"""`kproxy config` as people and scripts call it."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from kproxy.cli.config import app
from kproxy.config import load_bytes

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.conf"
    path.write_text(HEAD + "mode: ipvs\nipvs:\n  strictARP: true\n")
    return path


def run(*arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments, input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_check_explains_each_field_to_people(file: Path) -> None:
    code, shown, _ = run("check", str(file))
    assert code == 0
    (strict,) = (line for line in shown.splitlines() if line.startswith("ipvs.strictARP"))
    assert strict.split()[1:3] == ["true", "config.conf:5"]
    assert "Do not answer ARP" in strict
    assert "conntrack.maxPerCore" in shown
    assert shown.rstrip().endswith("config.conf can be used: mode ipvs")


def test_check_judges_the_file_for_another_mode(file: Path) -> None:
    code, shown, _ = run("check", str(file), "--mode", "nftables", "--written")
    assert code == 0
    assert "warning:" in shown
    assert "ipvs.strictARP: has no effect in nftables mode" in shown
    assert "conntrack" not in shown
    assert "mode nftables, 1 of its fields without effect" in shown


@pytest.mark.parametrize(("form", "parse"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_check_for_programs(file: Path, form: str, parse: object) -> None:
    assert callable(parse)
    code, shown, _ = run("check", str(file), "-o", form)
    answer = parse(shown)
    assert code == 0
    assert answer["valid"] is True
    assert answer["mode"] == "ipvs"
    fields = {field["field"]: field for field in answer["fields"]}
    assert fields["ipvs.strictARP"] == {
        "field": "ipvs.strictARP",
        "value": True,
        "origin": f"{file}:5",
        "hasEffect": True,
        "effect": "Do not answer ARP for addresses of kube-ipvs0 (arp_ignore=1, arp_announce=2).",
    }
    assert fields["nftables.masqueradeBit"]["hasEffect"] is False


def test_check_names_every_mistake_with_its_line(file: Path) -> None:
    file.write_text(HEAD + "mod: ipvs\niptables: {masqueradeBit: 99}\n")
    code, shown, errors = run("check", str(file))
    assert (code, shown) == (1, "")
    assert errors.splitlines() == [
        f'{file}:3: mod: unknown field; did you mean "mode"?',
        f"{file}:4: iptables.masqueradeBit: must be between 0 and 31, got 99",
    ]
    code, shown, _ = run("check", str(file), "-o", "json")
    assert code == 1
    answer = json.loads(shown)
    assert answer["valid"] is False
    assert answer["errors"][0] == {
        "field": "mod",
        "message": 'unknown field; did you mean "mode"?',
        "source": str(file),
        "line": 3,
        "column": 1,
    }


def test_check_reads_standard_input() -> None:
    code, shown, _ = run("check", "-", "-o", "json", stdin=HEAD + "mode: nftables\n")
    assert code == 0
    assert {"field": "mode", "origin": "standard input:3"}.items() <= json.loads(shown)["fields"][2].items()
    assert run("check", "-", stdin="[")[0] == 1


def test_a_missing_file_is_one_line() -> None:
    code, _, errors = run("check", "/nonexistent")
    assert code == 1
    assert errors == "/nonexistent: cannot be read: No such file or directory\n"


def test_show_prints_a_file_that_can_be_used(file: Path) -> None:
    code, shown, _ = run("show", str(file))
    assert code == 0
    configuration = load_bytes(shown.encode()).configuration
    assert configuration.mode == "ipvs"
    assert str(configuration.ipvs.sync_period) == "30s"
    code, shown, _ = run("show", str(file), "--mode", "nftables", "-o", "json")
    assert json.loads(shown)["nodePortAddresses"] == ["primary"]


def test_show_without_a_file_prints_the_defaults() -> None:
    code, shown, _ = run("show")
    assert code == 0
    assert yaml.safe_load(shown)["mode"] == "iptables"


def test_the_reference_is_a_table() -> None:
    code, shown, _ = run("reference")
    assert code == 0
    assert "| `udpIdleTimeout` | duration | `10s` | `--udp-timeout` |" in shown
