"""A pytest plugin: says what became of each test, a line of JSON each, as soon as it is known.

The lines go to standard output, between those of pytest itself, for `tests.vm.machine` to read.
"""

import json
import os

import pytest

MARK = "report "
"""What a line of ours begins with."""

_output = os.fdopen(os.dup(1), "w", buffering=1)
"""Before pytest captures what tests write to the original."""
_configurations: list[pytest.Config] = []


def pytest_configure(config: pytest.Config) -> None:
    _configurations.append(config)


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    config = _configurations[-1]
    data = config.hook.pytest_report_to_serializable(config=config, report=report)
    _output.write(f"\n{MARK}{json.dumps(data)}\n")
