"""What all tests share: a network namespace of their own for those that need one."""

import ctypes
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.vm.elsewhere"]

# How fast examples are made tells about the machine's load, not about the code.
settings.register_profile("kproxy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kproxy")

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses a namespace, and skip it where this process may not make any."""
    skip = pytest.mark.skip(reason="needs root: makes network namespaces")
    for item in items:
        if "network_namespace" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.root)
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(skip)


@pytest.fixture
def network_namespace() -> Iterator[None]:
    """Put the test's thread into a new network namespace, with nothing but a loopback that is down."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if _libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    try:
        yield
    finally:
        _libc.setns(home, _CLONE_NEWNET)
        os.close(home)
