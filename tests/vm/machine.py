"""Running tests in a virtual machine whose kernel has what this one lacks, as part of a run out here.

Each test is reported where it was collected, with what happened to it in there: pass, failure with its traceback, or
skip. So the numbers of a run are the same with and without the machine, and a failure in it is a failure.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.vm.reports import MARK

_RUN = Path(__file__).with_name("run")
_LONG = {name: value for name in ("KPROXY_LONG",) if (value := os.environ.get(name))}
"""Settings of this run that the one in there needs: it must collect the same tests."""
_LIMIT_SECONDS = 2400 if _LONG else 600
"""For the machine; what it takes on two quiet cores is in docs/ipvs.md."""
_PLUGINS = ("-p", "no:cacheprovider", "-p", "tests.vm.reports")
_UNAVAILABLE = 77
"""Exit status of the script where there can be no machine."""
_LAST_WORDS = 60
"""Lines of output that an error repeats."""


class Machine:
    """A machine that runs tests, in the order in which their reports are then asked for."""

    def __init__(self, config: pytest.Config, tests: Sequence[str]) -> None:
        """Start it, which downloads and installs what it is made of, unless it is there.

        Args:
            config: of the run out here
            tests: node ids
        """
        self._config = config
        self._said: deque[str] = deque(maxlen=_LAST_WORDS)
        settings = [f"{name}={value}" for name, value in _LONG.items()]
        self._process = subprocess.Popen(
            [_RUN, "env", *settings, sys.executable, "-m", "pytest", *_PLUGINS, *tests],
            cwd=config.rootpath,
            env={**os.environ, "VM_TIMEOUT": str(_LIMIT_SECONDS)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def reports(self, item: pytest.Item) -> Iterator[pytest.TestReport]:
        """What became of a test, phase by phase; waits for it."""
        for report in self._received():
            if report.nodeid != item.nodeid:
                yield self._verdict(item, "failed", f"the machine reported on {report.nodeid} instead")
                return
            yield report
            if report.when == "teardown":
                return
        if self._process.wait() == _UNAVAILABLE:
            reason = "; ".join(["Skipped: this kernel has no IPVS", *list(self._said)[-2:]])
            yield self._verdict(item, "skipped", (str(item.path), item.location[1] or 0, reason))
        else:
            words = "\n".join(self._said)
            yield self._verdict(item, "failed", f"the machine ended before this test did:\n{words}")

    def close(self) -> None:
        """Switch the machine off."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _received(self) -> Iterator[pytest.TestReport]:
        for line in self._process.stdout or ():
            if not line.startswith(MARK):
                self._said.append(line.rstrip())
                continue
            data = json.loads(line.removeprefix(MARK))
            report = self._config.hook.pytest_report_from_serializable(config=self._config, data=data)
            assert isinstance(report, pytest.TestReport)
            said: object = report.longrepr
            if isinstance(said, list):  # JSON's form of what a skip says
                report.longrepr = tuple(said)
            yield report

    @staticmethod
    def _verdict(item: pytest.Item, outcome: str, words: str | tuple[str, int, str]) -> pytest.TestReport:
        keywords = dict.fromkeys(item.keywords, 1)
        return pytest.TestReport(item.nodeid, item.location, keywords, outcome, words, "setup")  # type: ignore[arg-type]
