"""What a run out here says of tests in the machine, with scripts in the machine's place."""

import json
from pathlib import Path

import pytest

from tests.vm import machine
from tests.vm.machine import Machine
from tests.vm.reports import MARK


class Recorded:
    """Starts a script instead of the machine, and asks for the reports of the test that asks."""

    def __init__(self, request: pytest.FixtureRequest, script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.item = request.node
        self._config, self._script = request.config, script
        monkeypatch.setattr(machine, "_RUN", script)

    def outcomes(self, commands: str) -> list[tuple[str | None, str, str]]:
        self._script.write_text(f"#!/bin/sh\n{commands}\n")
        self._script.chmod(0o700)
        made = Machine(self._config, ["a test"])
        try:
            return [(report.when, report.outcome, str(report.longrepr)) for report in made.reports(self.item)]
        finally:
            made.close()

    def line(self, when: str, outcome: str, words: str | None = None) -> str:
        keywords = dict.fromkeys(self.item.keywords, 1)
        report = pytest.TestReport(self.item.nodeid, self.item.location, keywords, outcome, words, when)  # type: ignore[arg-type]
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        return f"{MARK}{json.dumps(data)}"


@pytest.fixture
def recorded(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    return Recorded(request, tmp_path / "run", monkeypatch)


def test_reports_are_those_of_the_machine(recorded: Recorded) -> None:
    lines = [recorded.line("setup", "passed"), recorded.line("call", "failed", "assert 1 == 2")]
    said = "\n".join(["booting", *lines, "more", recorded.line("teardown", "passed"), recorded.line("setup", "passed")])
    assert recorded.outcomes(f"cat <<'END'\n{said}\nEND") == [
        ("setup", "passed", "None"),
        ("call", "failed", "assert 1 == 2"),
        ("teardown", "passed", "None"),
    ]


def test_a_machine_that_dies_fails_the_test_and_repeats_its_last_words(recorded: Recorded) -> None:
    [(when, outcome, words)] = recorded.outcomes("echo Kernel panic; exit 1")
    assert (when, outcome) == ("setup", "failed")
    assert words.endswith("Kernel panic")


def test_without_a_machine_a_test_is_skipped_with_the_reason(recorded: Recorded) -> None:
    [(when, outcome, words)] = recorded.outcomes("echo noise; echo no network; echo no machine; exit 77")
    assert (when, outcome) == ("setup", "skipped")
    assert "this kernel has no IPVS; no network; no machine" in words


def test_a_machine_that_runs_other_tests_than_asked_is_a_failure(recorded: Recorded) -> None:
    other = recorded.line("setup", "passed").replace(recorded.item.nodeid, "another test")
    [(_, outcome, words)] = recorded.outcomes(f"cat <<'END'\n{other}\nEND")
    assert outcome == "failed"
    assert "another test" in words


def test_closing_ends_what_still_runs(recorded: Recorded) -> None:
    end = recorded.line("teardown", "passed")
    assert recorded.outcomes(f"cat <<'END'\n{end}\nEND\nsleep 1000") == [("teardown", "passed", "None")]
