"""Reports of a result: complete, escaped, and the same after a way through a file."""

import re
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from kproxy.bench.reports.comparison import compare, differences
from kproxy.bench.reports.markdown import markdown
from kproxy.bench.results.machine import is_emulated
from kproxy.bench.results.schema import Result, ResultError, read, write
from kproxy.cli.bench import app
from tests.bench.results import machine, result


def test_a_result_survives_its_file(tmp_path: Path) -> None:
    write(result(), tmp_path / "a.json")
    again = read(tmp_path / "a.json")
    assert again.machine == machine()
    assert [run.figures.keys() for run in again.runs] == [run.figures.keys() for run in result().runs]


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"format": 1}', "\xff"])
def test_what_is_no_result_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(ResultError) as error:
        read(file)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    later = result()
    later.format = 2
    write(later, tmp_path / "a.json")
    with pytest.raises(ResultError, match="format 2"):
        read(tmp_path / "a.json")


def test_every_figure_in_markdown_has_its_spread_or_says_that_it_has_none() -> None:
    text = markdown(result())
    rows = [line for line in text.splitlines() if line.startswith("| rule update, connection")]
    assert len(rows) == 2
    cells = [cell for row in rows for cell in row.split("|")[2:-1]]
    assert all(re.search(r"\[.+, .+\]|once|–", cell) for cell in cells)
    assert "mode ipvs is left out" in text
    assert "others kept 0.05 cores busy" in text


def test_side_by_side_gives_ratios_with_intervals() -> None:
    text = markdown(result(contenders=("kproxy", "other")))
    section = text[text.index("## kproxy ÷ other") :]
    row = next(line for line in section.splitlines() if "rule update, connection" in line)
    assert "0.50 × [0." in row
    assert row.endswith("| better |")
    same = next(line for line in section.splitlines() if "connection set-up, no Service" in line)
    assert same.endswith("| no difference beyond noise |")


def test_a_slower_second_result_is_worse() -> None:
    table = compare(result(), result(scale=3.0))
    verdicts = {row[1]: row[-1] for row in table.rows}
    assert verdicts["rule update, connection"] == "worse"
    assert verdicts["connection set-up, no Service"] == "no difference beyond noise"
    assert verdicts["CPU for one change"] == "worse"
    assert verdicts["CPU until synced"].startswith("too few rounds (1)")


def test_results_of_different_machines_are_said_to_be() -> None:
    other: Result = result()
    other.machine = machine("Linux 6.18")
    assert differences(result(), result()) == []
    assert differences(result(), other) == ["kernel: Linux 6.1 and Linux 6.18"]


def test_an_emulated_machine_is_named_and_only_its_ratios_are_set_out() -> None:
    assert "Emulated" not in markdown(result())
    assert "Modes beside each other" not in markdown(result())
    emulated: Result = result()
    emulated.machine = msgspec.structs.replace(machine(), virtualisation="qemu", emulated=True)
    text = markdown(emulated)
    assert "a virtual machine (qemu)" in text
    assert "- Emulated: a program imitates the processor" in text
    _, _, ratios = text.partition("## Modes beside each other, 100 Services × 10 endpoints\n")
    assert "| iptables ÷ nftables |" in ratios
    assert "| connection set-up, last Service | 1.00 × [1.00, 1.00] |" in ratios
    assert "| CPU until synced | 0.50 × |" in ratios  # a single round has no interval
    assert differences(result(), emulated) == ["emulated: False and True"]


@pytest.mark.parametrize(
    ("processor", "virtualisation", "emulated"),
    [
        ("QEMU TCG CPU version 2.5+", "qemu", True),
        ("QEMU TCG CPU version 2.5+", "", True),  # without systemd
        ("QEMU Virtual CPU version 2.5+", "qemu", True),
        ("QEMU Virtual CPU version 2.5+", "kvm", False),
        ("AMD EPYC", "kvm", False),
        ("AMD EPYC", "", False),
    ],
)
def test_an_emulated_processor_is_told_from_a_virtual_one(processor: str, virtualisation: str, emulated: bool) -> None:
    assert is_emulated(processor, virtualisation) is emulated


def test_the_command_compares_files(tmp_path: Path) -> None:
    write(result(), tmp_path / "a.json")
    write(result(scale=2.0), tmp_path / "b.json")
    outcome = CliRunner().invoke(app, ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert outcome.exit_code == 0
    assert "worse" in outcome.output
    missing = CliRunner().invoke(app, ["compare", str(tmp_path / "a.json"), str(tmp_path / "none.json")])
    assert missing.exit_code == 2
    assert "No such file" in missing.output
