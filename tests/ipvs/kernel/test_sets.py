"""Sets in the kernel, read back and seen by the program `ipset`."""

import errno
import subprocess
from collections.abc import Iterator

import pytest

from kproxy.backends.ipvs.sets import SetName, specification, specifications
from kproxy.kernel.ipset.elements import (
    Element,
    SetSpecification,
    SetType,
    bitmap_port,
    describe,
    ip_port,
    ip_port_ip,
    ip_port_net,
)
from kproxy.kernel.ipset.socket import SetSocket
from kproxy.services.addresses import Family, parse_network
from tests.ipvs.kernel_state import ip

NETWORK = {Family.IPV4: parse_network("10.0.0.0/8"), Family.IPV6: parse_network("2001:db8::/32")}
ADDRESS = {Family.IPV4: ip("192.0.2.1"), Family.IPV6: ip("2001:db8::1")}


@pytest.fixture
def sets(network_namespace: None) -> Iterator[SetSocket]:
    socket = SetSocket()
    try:
        socket.list(specification(SetName.IPVS_IPS, Family.IPV4))
    except OSError as error:
        pytest.skip(f"this kernel has no ipsets: {error}")
    yield socket
    socket.close()


def element(type_: SetType, family: Family) -> Element:
    address, network = ADDRESS[family], NETWORK[family]
    assert network
    return {
        SetType.IP: address,
        SetType.IP_PORT: ip_port(address, 17, 53),
        SetType.IP_PORT_IP: ip_port_ip(address, 6, 80, address),
        SetType.IP_PORT_NET: ip_port_net(address, 132, 80, network),
        SetType.PORT: bitmap_port(30080),
    }[type_]


def saved() -> str:
    return subprocess.run(["ipset", "save"], check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("family", Family)
def test_every_set_takes_elements_and_gives_them_back(sets: SetSocket, family: Family) -> None:
    for wanted in specifications(family).values():
        sets.ensure(wanted, sets.list(wanted))
        added = element(wanted.type, family)
        for _ in range(2):  # what is there already is no error
            assert sets.add([(wanted, [added])])[1] == []
        listed = sets.list(wanted)
        assert listed is not None
        assert (listed.type, listed.elements) == (wanted.type.value, {added})
        assert f"add {wanted.name} {describe(wanted.type, family, added)}\n" in saved()
        for _ in range(2):
            assert sets.delete([(wanted, [added])])[1] == []
        assert sets.destroy(wanted.name)
        assert not sets.destroy(wanted.name)
    assert saved() == ""


def test_a_host_in_a_set_of_networks(sets: SetSocket) -> None:
    wanted = specification(SetName.SOURCE_CIDR, Family.IPV4)
    host = parse_network("10.0.0.1/32")
    assert host
    added = ip_port_net(ip("192.0.2.1"), 6, 80, host)
    sets.ensure(wanted, None)
    sets.add([(wanted, [added])])
    listed = sets.list(wanted)
    assert listed is not None
    assert listed.elements == {added}


def test_many_elements(sets: SetSocket) -> None:
    wanted = specification(SetName.CLUSTER_IP, Family.IPV4)
    sets.ensure(wanted, None)
    many = {ip_port(b"\x0a" + n.to_bytes(3, "big"), 6, 80) for n in range(3000)}
    assert sets.add([(wanted, many)])[1] == []
    listed = sets.list(wanted)
    assert listed is not None
    assert listed.elements == many


def test_one_bad_element_does_not_stop_the_others(sets: SetSocket) -> None:
    wanted = specification(SetName.SOURCE_CIDR, Family.IPV4)
    everything = parse_network("0.0.0.0/0")
    assert everything
    good, bad = element(SetType.IP_PORT_NET, Family.IPV4), ip_port_net(ip("192.0.2.1"), 6, 80, everything)
    sets.ensure(wanted, None)
    _, refused = sets.add([(wanted, [bad, good])])
    assert [refusal.request.about.elements for refusal in refused] == [[bad]]  # type: ignore[attr-defined]
    assert "192.0.2.1,tcp:80,0.0.0.0/0 in set KUBE-LOAD-BALANCER-SOURCE-CIDR" in str(refused[0])
    listed = sets.list(wanted)
    assert listed is not None
    assert listed.elements == {good}


def test_a_set_that_is_too_small_grows_and_keeps_its_elements(sets: SetSocket) -> None:
    """As kube-proxy leaves them, with room for 65,536."""
    wanted = SetSpecification("KUBE-CLUSTER-IP", SetType.IP_PORT, Family.IPV4, max_elements=4)
    three = {ip_port(ip(f"10.0.0.{n}"), 6, 80) for n in range(3)}
    sets.ensure(wanted, None)
    sets.add([(wanted, three)])
    sets.ensure(wanted._replace(max_elements=100), sets.list(wanted))
    listed = sets.list(wanted)
    assert listed is not None
    assert (listed.max_elements, listed.elements) == (100, three)
    assert saved().count("create") == 1


def test_a_set_of_another_type_is_replaced_unless_rules_use_it(sets: SetSocket) -> None:
    wanted = specification(SetName.CLUSTER_IP, Family.IPV4)
    subprocess.run(["ipset", "create", wanted.name, "hash:net"], check=True)
    sets.ensure(wanted, sets.list(wanted))
    listed = sets.list(wanted)
    assert listed is not None
    assert listed.type == "hash:ip,port"
    sets.destroy(wanted.name)
    subprocess.run(["ipset", "create", wanted.name, "hash:net"], check=True)
    rule = ["iptables", "-A", "INPUT", "-m", "set", "--match-set", wanted.name, "dst", "-j", "ACCEPT"]
    subprocess.run(rule, check=True)
    with pytest.raises(OSError, match=f"set {wanted.name}: in use by a rule"):
        sets.ensure(wanted, sets.list(wanted))


def test_what_is_missing_is_none(sets: SetSocket) -> None:
    assert sets.list(specification(SetName.LOOP_BACK, Family.IPV6)) is None
    assert not sets.destroy("KUBE-LOOP-BACK")


def test_an_element_for_a_set_that_is_missing_is_refused(sets: SetSocket) -> None:
    _, refused = sets.add([(specification(SetName.IPVS_IPS, Family.IPV4), [ip("10.0.0.1")])])
    assert [refusal.answer.error for refusal in refused] == [errno.ENOENT]
