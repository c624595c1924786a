"""Where tests marked `ipvs` run: here, if this kernel has IPVS, else in a virtual machine whose kernel has."""

import os
from functools import cache

import pytest

from kproxy.kernel.modules import load_module
from tests.vm.machine import Machine

_MACHINE = pytest.StashKey[Machine]()


@cache
def _elsewhere() -> bool:
    """Whether these tests need the machine; without root, they are skipped here as everywhere."""
    return os.geteuid() == 0 and load_module("ip_vs") is not None


def _concerned(items: list[pytest.Item]) -> list[pytest.Item]:
    return [item for item in items if item.get_closest_marker("ipvs")] if _elsewhere() else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in _concerned(items):
        # The first waits until the machine is there; in there, each has its usual limit, and the machine has one.
        item.add_marker(pytest.mark.timeout(0))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Report what the machine does with a test, instead of running it."""
    if not _concerned([item]):
        return None
    stash = item.config.stash
    if _MACHINE not in stash:
        stash[_MACHINE] = Machine(item.config, [each.nodeid for each in _concerned(item.session.items)])
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in stash[_MACHINE].reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    # The test before may have left this one's module, and fixtures of it, set up.
    item.session._setupstate.teardown_exact(nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_sessionfinish(session: pytest.Session) -> None:
    if machine := session.config.stash.get(_MACHINE, None):
        machine.close()
