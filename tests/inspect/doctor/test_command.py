"""`kproxy doctor` as a command: output, exit status, and one line for what is wrong with its options."""

import asyncio
import json
import tarfile
from pathlib import Path

import pytest

from tests.inspect.doctor.patient import Patient
from tests.inspect.status.commands import command, invoke

pytestmark = pytest.mark.root


async def doctor(*arguments: str) -> tuple[int, str]:
    pipe = asyncio.subprocess.PIPE
    argv = command("doctor", *arguments)
    process = await asyncio.create_subprocess_exec(*argv, stdout=pipe, stderr=pipe)
    out, errors = await process.communicate()
    return process.returncode or 0, (out + errors).decode()


async def test_findings_as_text_and_json(patient: Patient, tmp_path: Path) -> None:
    patient.service()
    config = str(patient.where().config)
    status, text = await doctor("--config", config)
    assert status == 1
    assert "CRITICAL Service default/web" in text
    assert "look:   kubectl -n default get endpointslices" in text
    assert "advice: Make an EndpointSlice" in text
    bundle = tmp_path / "b.tgz"
    status, text = await doctor("--config", config, "-o", "json", "--bundle", str(bundle))
    document, _, note = text.rpartition("}")
    report = json.loads(document + "}")
    assert status == 1
    assert {"no-endpoints", "proxy-running"} == {finding["check"] for finding in report["findings"]}
    assert "b.tgz" in note
    with tarfile.open(bundle) as archive:
        assert any(name.endswith("doctor.json") for name in archive.getnames())


async def test_one_check_that_finds_nothing(patient: Patient) -> None:
    status, text = await doctor("--config", str(patient.where().config), "--check", "ip-forward")
    assert (status, text) == (0, "here: nothing wrong; 1 checks passed\n")


async def test_a_walk(patient: Patient) -> None:
    patient.service()
    patient.service("other", "10.96.0.11")
    status, text = await doctor("default/web", "--config", str(patient.where().config))
    assert status == 1
    assert "✗ endpoints of 10.96.0.10:80/TCP: none is ready" in text
    assert "advice: Make an EndpointSlice with the label kubernetes.io/service-name=web" in text
    assert "other" not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["--check", "nosuch"],
        ["--config", "/nonexistent"],
        ["web"],
        ["a/b/c"],
        ["--bundle", "/nonexistent/x.tgz", "--check", "mtu"],
        ["--kubeconfig", "/nonexistent", "web"],
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(network_namespace: None, arguments: list[str]) -> None:
    status, text = invoke("doctor", *arguments)
    assert status == 2, text
    assert text.splitlines()[-1].startswith("kproxy doctor: ")
    assert "Traceback" not in text


def test_the_checks_are_listed() -> None:
    status, text = invoke("doctor", "--list")
    assert status == 0
    assert "conntrack-full" in text


def test_a_fault_of_ours_is_one_line_too(network_namespace: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("kproxy.inspect.doctor.command.look", fail)
    assert invoke("doctor") == (2, "kproxy doctor: unexpected ZeroDivisionError: by zero\n")
