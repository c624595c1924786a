"""The engine: checks run beside each other, and none stops another."""

import time
from collections.abc import Iterator

import pytest

from kproxy.inspect.doctor.checks.registry import CHECKS
from kproxy.inspect.doctor.examination import Check, examine
from kproxy.inspect.doctor.finding import Finding, Severity
from kproxy.inspect.doctor.view import NodeView
from tests.inspect.doctor.patient import Patient

pytestmark = pytest.mark.root


def finding(severity: Severity) -> Finding:
    return Finding(check=severity.value, severity=severity, subject="x", evidence=(), cause="c")


def note(_: NodeView) -> Iterator[Finding]:
    yield finding(Severity.NOTE)


def critical(_: NodeView) -> Iterator[Finding]:
    yield finding(Severity.CRITICAL)


def crash(_: NodeView) -> Iterator[Finding]:
    yield finding(Severity.CRITICAL)
    raise ZeroDivisionError("by zero")


def hang(_: NodeView) -> Iterator[Finding]:
    time.sleep(30)
    yield finding(Severity.CRITICAL)


def nothing(_: NodeView) -> Iterator[Finding]:
    return iter(())


async def test_a_crash_and_a_hang_stop_no_other_check(patient: Patient) -> None:
    view = await patient.view()
    functions = (crash, note, hang, critical, nothing)
    begun = time.monotonic()
    found = await examine(view, [Check(each.__name__, "?", each) for each in functions], 0.3)
    assert time.monotonic() - begun < 5
    assert [each.severity for each in found.findings] == [Severity.CRITICAL, Severity.NOTE]
    assert {(each.check, each.reason) for each in found.unanswered} == {
        ("crash", "ZeroDivisionError: by zero"),
        ("hang", "no answer within 0.3 s"),
    }
    assert found.passed == ("nothing",)
    assert not found.fine
    assert (await examine(view, [Check("note", "?", note)])).fine


async def test_they_run_beside_each_other(patient: Patient) -> None:
    def slow(_: NodeView) -> Iterator[Finding]:
        time.sleep(0.2)
        return iter(())

    begun = time.monotonic()
    await examine(await patient.view(), [Check(str(n), "?", slow) for n in range(20)])
    assert time.monotonic() - begun < 2.0


async def test_without_objects_the_checks_that_need_them_are_skipped(patient: Patient) -> None:
    view = await patient.view(desired=None, cluster=None)
    found = await examine(view, CHECKS)
    assert "no-endpoints" in found.skipped
    assert not found.unanswered
    assert {each.check for each in found.findings} == {"proxy-running"}


async def test_a_healthy_node_with_all_checks(patient: Patient) -> None:
    """Everything at once, with objects of every kind: no check takes what is right for wrong."""
    patient.service(selector={"app": "web"})
    patient.pod("web-1", app="web")
    patient.slice("web", "10.244.1.1")
    found = await examine(await patient.view(), CHECKS)
    assert not found.unanswered
    assert not found.skipped
    assert {each.check for each in found.findings} == {"proxy-running"}


def test_names_are_unique_and_questions_are_questions() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS) >= 25
    assert all(check.question.endswith("?") for check in CHECKS)
