"""The dummy interface and its addresses."""

from collections.abc import Iterator

import pytest

from kproxy.kernel.links import LinkSocket
from tests.ipvs.kernel_state import ip


@pytest.fixture
def links(network_namespace: None) -> Iterator[LinkSocket]:
    socket = LinkSocket()
    try:
        socket.ensure_dummy("probe")
    except OSError as error:
        pytest.skip(f"this kernel has no dummy interfaces: {error}")
    yield socket
    socket.close()


def test_a_dummy_interface_is_made_once_and_deleted_once(links: LinkSocket) -> None:
    index = links.ensure_dummy("kube-ipvs0")
    assert links.ensure_dummy("kube-ipvs0") == index == links.index("kube-ipvs0") != 0
    assert links.delete("kube-ipvs0")
    assert not links.delete("kube-ipvs0")
    assert links.index("kube-ipvs0") == 0


def test_addresses_come_and_go(links: LinkSocket) -> None:
    index = links.ensure_dummy("kube-ipvs0")
    addresses = {ip("10.96.0.1"), ip("10.96.0.2"), ip("fd00::1")}
    for _ in range(2):
        assert links.add(index, addresses)[1] == []
    assert links.addresses()[index] == addresses
    for _ in range(2):
        assert links.remove(index, {ip("10.96.0.1"), ip("fd00::1")})[1] == []
    assert links.addresses()[index] == {ip("10.96.0.2")}


def test_one_bad_address_does_not_stop_the_others(links: LinkSocket) -> None:
    index = links.ensure_dummy("kube-ipvs0")
    _, refused = links.add(index, [ip("ff02::1"), ip("fd00::1")])
    assert [str(refusal.request.about) for refusal in refused] == ["address ff02::1"]
    assert links.addresses()[index] == {ip("fd00::1")}
