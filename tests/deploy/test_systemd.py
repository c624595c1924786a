"""The unit, by systemd's own judgement."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.rendering import CHECKOUT, DEPLOY

UNIT = DEPLOY / "systemd" / "kproxy.service"


@pytest.fixture
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return program


def test_systemd_understands_every_line(analyze: str, tmp_path: Path) -> None:
    installed = tmp_path / "kproxy.service"
    program = str(CHECKOUT / ".venv" / "bin" / "kube-proxy")
    installed.write_text(UNIT.read_text().replace("/opt/kproxy/bin/kube-proxy", program))
    argv = [analyze, "verify", "--man=no", str(installed)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert [line for line in done.stderr.splitlines() if "kproxy.service" in line] == []
    installed.write_text(installed.read_text() + "\n[Service]\nProtectEverything=yes\n")
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "ProtectEverything" in done.stderr, "verify says nothing about anything here"


def test_it_is_confined(analyze: str) -> None:
    argv = [analyze, "security", "--offline=yes", "--no-pager", str(UNIT)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    rated = re.search(r"exposure level for kproxy\.service: ([\d.]+)", done.stdout)
    assert rated is not None, done.stderr
    assert float(rated[1]) <= 2.5


def test_its_life_follows_the_proxys_word() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNIT)
    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "always"
    assert int(service["WatchdogSec"]) > 0
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["CapabilityBoundingSet"] == "CAP_NET_ADMIN CAP_NET_RAW"
