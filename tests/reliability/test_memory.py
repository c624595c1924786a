"""Memory stays as it is, however many events come."""

import asyncio

import pytest

from tests.reliability.many_events import measure
from tests.reliability.served_lab import report

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("network_namespace")]

EVENTS = 50_000


def test_many_events_leave_nothing_behind() -> None:
    """The full million: `python -m tests.reliability.many_events 1000000`."""
    first, *_, last = asyncio.run(measure(EVENTS, parts=5))
    for each in (first, last):
        report(str(each))
    assert last.resident - first.resident < 2 << 20
    assert last.metrics == first.metrics
    assert last.elements < 2 * first.elements
