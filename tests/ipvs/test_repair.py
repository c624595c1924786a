"""What is mended, what drains, and what is somebody else's."""

from kproxy.backends.ipvs.desired import DesiredState
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.readback import PresentServer, PresentState
from kproxy.backends.ipvs.repair import plan
from kproxy.backends.ipvs.sets import SetName, specifications
from kproxy.kernel.ipset.elements import Element, bitmap_port, ip_port
from kproxy.kernel.ipset.socket import ListedSet
from kproxy.kernel.ipvs.protocol import Backend, ServerKey, ServerSettings
from kproxy.services.addresses import Family, parse_network
from kproxy.services.model import ServiceName
from tests.ipvs.kernel_state import at, ip, tcp, tracker_of
from tests.services.builders import service, slice_of

WEB, ONE, TWO = tcp("10.96.0.10", 80), at("10.244.1.1", 8080), at("10.244.1.2", 8080)
RR = ServerSettings("rr")


def desired(options: IpvsOptions | None = None) -> DesiredState:
    tracker = tracker_of([service("web"), slice_of("web", "10.244.1.1")])
    state = DesiredState(options or IpvsOptions())
    name = ServiceName("default", "web")
    state.put({name: tracker.ports(name, Family.IPV4)})
    return state


def present(
    servers: dict[ServerKey, dict[Backend, int]],
    *,
    dummy: tuple[str, ...] = ("10.96.0.10",),
    settings: ServerSettings = RR,
    **sets: set[Element],
) -> PresentState:
    elements = {
        "CLUSTER_IP": {ip_port(ip("10.96.0.10"), 6, 80)},
        "IPVS_IPS": {ip("10.96.0.10")},
        **sets,
    }
    return PresentState(
        2,
        {key: PresentServer(settings, weights) for key, weights in servers.items()},
        frozenset(map(ip, dummy)),
        frozenset(),
        {
            name: ListedSet(wanted.type.value, 0, elements.get(name.name, set()))
            for name, wanted in specifications(Family.IPV4).items()
        },
    )


def test_what_is_right_is_left_alone() -> None:
    repair = plan(desired(), present({WEB: {ONE: 1}}), ())
    assert not repair.delta
    assert not repair.draining


def test_what_is_missing_is_added() -> None:
    delta = plan(desired(), present({}, dummy=(), CLUSTER_IP=set(), IPVS_IPS=set()), ()).delta
    assert delta.servers_added == [(WEB, RR)]
    assert delta.backends_added == [(WEB, ONE, 1)]
    assert delta.addresses_added == [ip("10.96.0.10")]
    assert set(delta.elements_added) == {SetName.CLUSTER_IP, SetName.IPVS_IPS}


def test_another_scheduler_is_changed() -> None:
    state = present({WEB: {ONE: 1}}, settings=ServerSettings("lc"))
    assert plan(desired(), state, ()).delta.servers_changed == [(WEB, RR)]


def test_a_weight_that_somebody_changed_is_set_again() -> None:
    repair = plan(desired(), present({WEB: {ONE: 7}}), ())
    assert repair.delta.backends_changed == [(WEB, ONE, 1)]


def test_what_nobody_wants_is_removed_and_weight_0_is_left_to_drain() -> None:
    repair = plan(desired(), present({WEB: {ONE: 1, TWO: 1}}), ())
    assert repair.delta.backends_removed == [(WEB, TWO)]
    repair = plan(desired(), present({WEB: {ONE: 1, TWO: 0}}), ())
    assert not repair.delta
    assert repair.draining == [(WEB, TWO)]


def test_dh_has_no_way_round_a_draining_server_so_it_goes() -> None:
    settings = ServerSettings("dh")
    repair = plan(desired(IpvsOptions(scheduler="dh")), present({WEB: {ONE: 1, TWO: 0}}, settings=settings), ())
    assert repair.delta.backends_removed == [(WEB, TWO)]


def test_a_virtual_server_is_ours_by_its_address_or_its_node_port() -> None:
    old, node_port = tcp("10.96.0.99", 80), tcp("192.168.0.1", 30080)
    state = present(
        {WEB: {ONE: 1}, old: {ONE: 1}, node_port: {ONE: 1}},
        dummy=("10.96.0.10", "10.96.0.99"),
        NODE_PORT_TCP={bitmap_port(30080)},
    )
    delta = plan(desired(), state, ()).delta
    assert set(delta.servers_removed) == {old, node_port}
    assert delta.addresses_removed == [ip("10.96.0.99")]


def test_others_virtual_servers_are_not_touched() -> None:
    foreign, same_port = tcp("192.0.2.1", 80), tcp("192.168.0.1", 30081)
    state = present({WEB: {ONE: 1}, foreign: {TWO: 5}, same_port: {TWO: 0}}, NODE_PORT_UDP={bitmap_port(30081)})
    delta = plan(desired(), state, ()).delta
    assert delta.servers_removed == []
    assert delta.backends_removed == []


def test_excluded_networks_are_others_unless_this_process_made_them() -> None:
    network = parse_network("10.97.0.0/16")
    assert network
    excluded = tcp("10.97.0.1", 80)
    state = present({WEB: {ONE: 1}, excluded: {}}, dummy=("10.96.0.10", "10.97.0.1"))
    options = IpvsOptions(excluded=(network,))
    assert plan(desired(options), state, ()).delta.servers_removed == []
    assert plan(desired(options), state, {excluded}).delta.servers_removed == [excluded]
    assert plan(desired(), state, ()).delta.servers_removed == [excluded]
