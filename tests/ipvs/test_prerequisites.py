"""What the mode needs of the kernel, on one that does not have it."""

import os
from pathlib import Path

import pytest

from kproxy.backends.interface import BackendError
from kproxy.backends.ipvs.backend import IpvsBackend
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.prerequisites import kernel_version
from kproxy.services.addresses import Family


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.1.0-56-amd64", (6, 1)), ("5.10.0", (5, 10)), ("4.19", (4, 19)), ("6", (6, 0)), ("strange", (0, 0))],
)
def test_kernel_versions(release: str, version: tuple[int, int]) -> None:
    assert kernel_version(release) == version


@pytest.mark.skipif(Path("/proc/net/ip_vs").exists(), reason="this kernel has IPVS")
@pytest.mark.usefixtures("network_namespace")
def test_without_ipvs_the_error_says_what_is_missing_and_how_to_get_it() -> None:
    with pytest.raises(BackendError) as caught:
        IpvsBackend(tuple(Family), IpvsOptions())
    assert str(caught.value).startswith("IPVS mode needs ip_vs (CONFIG_IP_VS), which this kernel lacks: ")
    assert os.uname().release in str(caught.value)
