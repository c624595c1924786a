"""Names from the API cannot become anything but part of a comment, whatever is in them."""

import re

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kproxy.backends.iptables.compile import compile_service
from kproxy.backends.iptables.matches import comment, from_pods
from kproxy.backends.iptables.names import escape
from kproxy.backends.iptables.options import RuleOptions
from kproxy.backends.iptables.render import render
from kproxy.backends.iptables.tool import Tool
from kproxy.kernel.processes import run
from kproxy.services.addresses import Family
from kproxy.services.local_traffic import LocalTraffic
from kproxy.services.model import Policy, ServiceName, ServicePort
from kproxy.services.tracker import ServiceTracker
from tests.iptables.kernel_state import POD_NETWORKS, manifest, tracker_of

HOSTILE = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        [
            'web" -j ACCEPT\n-A INPUT -j ACCEPT\n#',
            "web\nCOMMIT\n*nat\n-F",
            "web\\",
            'web\\" -j DROP',
            "web\r-F",
            "web\x00-F",
            "-j ACCEPT",
            "%0A",
            "x" * 2000,
            "名前",
        ]
    ),
)
_RULE = re.compile(r'-A [A-Z0-9-]+( (! )?(-[a-z-]+|--[a-z-]+|"[A-Za-z0-9%~/:.,;>\[\]_ -]*"|[A-Za-z0-9./:,\[\]+_-]+))*')


def renamed(port: ServicePort, namespace: str, name: str, port_name: str) -> ServicePort:
    return msgspec.structs.replace(port, service=ServiceName(namespace, name), port_name=port_name)


class HostileModel:
    """A tracker's Services under other names."""

    def __init__(self, tracker: ServiceTracker, names: tuple[str, str, str]) -> None:
        self._tracker, self._names = tracker, names

    def names(self) -> list[ServiceName]:
        return list(self._tracker.names())

    def ports(self, name: ServiceName, family: Family) -> tuple[ServicePort, ...]:
        return tuple(renamed(port, *self._names) for port in self._tracker.ports(name, family))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.tuples(HOSTILE, HOSTILE, HOSTILE))
async def test_no_name_adds_a_line_or_an_option(tools: dict[Family, Tool], names: tuple[str, str, str]) -> None:
    # One Service for every kind of rule: under one name, several would have the same chains.
    tracker = tracker_of([o for o in manifest("loadbalancer") if o.metadata.name.startswith("fenced")])
    options = RuleOptions(family=Family.IPV4, local_traffic=POD_NETWORKS[Family.IPV4])
    plain, hostile = render(tracker, options), render(HostileModel(tracker, names), options)
    shape = re.compile(r"KUBE-(SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}|\"[^\"]*\"")
    assert shape.sub("*", hostile) == shape.sub("*", plain)
    assert all(_RULE.fullmatch(line) for line in hostile.splitlines() if line.startswith("-A"))
    variant = tools[Family.IPV4].variant.value
    await run([f"iptables-{variant}-restore", "--noflush", "--test"], hostile.encode(), time_limit=10)


@given(first=st.text(max_size=20), second=st.text(max_size=20))
def test_different_names_stay_different(first: str, second: str) -> None:
    assert (escape(first) == escape(second)) is (first == second)
    assert re.fullmatch(r"[A-Za-z0-9._~%-]*", escape(first)), "no separator, no quote, no space"


def test_a_comment_is_never_given_quotes_or_line_ends() -> None:
    for words in ('a"b', "a\\", "a\nb", "a\x00", "é"):
        with pytest.raises(ValueError, match="cannot be a rule's comment"):
            comment(words)
    assert len(comment("x" * 3000)) < 300


@pytest.mark.parametrize("name", ["eth0 -j ACCEPT", "eth0\n", "a" * 16, "", "a/b", 'a"', "!", "eth+"])
def test_an_interface_that_cannot_be_one_is_refused(name: str) -> None:
    if name:
        with pytest.raises(ValueError, match="cannot be the name"):
            from_pods(LocalTraffic(interface=name))
    else:
        assert from_pods(LocalTraffic(interface=name)) is None


def test_chain_names_are_kube_proxys() -> None:
    """The hashes of `default/kubernetes:https` are the same on every cluster."""
    port = ServicePort(
        service=ServiceName("default", "kubernetes"),
        port_name="https",
        family=Family.IPV4,
        protocol="TCP",
        port=443,
        cluster_ip=bytes((10, 96, 0, 1)),
        external_policy=Policy.CLUSTER,
        has_endpoints=True,
        external_ips=(bytes((192, 0, 2, 1)),),
    )
    compiled = compile_service([port], RuleOptions(family=Family.IPV4))
    assert b":KUBE-EXT-NPX46M4PTMTKRN6Y - [0:0]\n" in compiled.chains
