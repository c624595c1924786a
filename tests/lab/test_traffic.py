"""What clients meet in the lab without a proxy, or with hand-made rules for one."""

import asyncio
import socket

import pytest
from aiohttp import web

from kproxy.lab.lab import Lab
from kproxy.lab.probe import Outcome, Result
from kproxy.lab.rejections import tcp6_rejections_arrive
from kproxy.lab.topology import HOST_PORT, NODE_OF, PODS, SERVER_PORTS, VANTAGE_POINTS, address_of

from .nft import FORWARD, INPUT, POSTROUTING, PREROUTING, load_table

pytestmark = pytest.mark.root


@pytest.mark.parametrize("version", [4, 6])
async def test_everyone_reaches_every_pod_with_the_source_that_routing_gives(lab: Lab, version: int) -> None:
    gateways = {node.name: node for node in NODE_OF.values()}
    for client in VANTAGE_POINTS:
        for name, pod in PODS.items():
            node = NODE_OF[name]
            towards_own_pods = client in gateways and node is gateways[client]
            source = node.bridge.of(version) if towards_own_pods else address_of(client, version)
            expected = Outcome(Result.OK, name, str(source)) if pod.serves else Outcome(Result.REJECTED)
            address = str(pod.address.of(version))
            assert await lab.probe(client, "TCP", address, SERVER_PORTS[0]) == expected, (client, name)
            assert await lab.probe(client, "UDP", address, SERVER_PORTS[2]) == expected, (client, name)


async def test_the_node_answers_on_its_own_port(lab: Lab) -> None:
    outcome = await lab.probe("ext", "TCP", "192.168.77.2", HOST_PORT)
    assert outcome == Outcome(Result.OK, "node", "192.168.77.100")


async def test_service_addresses_of_nobody_time_out(lab: Lab) -> None:
    lab.patience = 0.2
    outcomes = await asyncio.gather(
        *(
            lab.probe(client, "TCP", address, 80)
            for client in ("pod-x", "node", "ext")
            for address in ("10.96.0.1", "198.51.100.1", "203.0.113.1", "fd00:10:96::1", "2001:db8:113::1")
        )
    )
    assert {outcome.result for outcome in outcomes} == {Result.TIMEOUT}


async def test_ext_routes_service_addresses_to_the_node(lab: Lab) -> None:
    addresses = ("10.96.0.1", "198.51.100.1", "203.0.113.1", "fd00:10:96::1", "2001:db8:100::1", "2001:db8:113::1")
    to_pod_a = "meta nfproto ipv4 dnat ip to 10.244.1.10; meta nfproto ipv6 dnat ip6 to fd00:10:244:1::a"
    load_table(lab.namespace("node"), "inet", (PREROUTING, to_pod_a))
    for address in addresses:
        outcome = await lab.probe("ext", "TCP", address, 8080)
        assert (outcome.result, outcome.pod) == (Result.OK, "pod-a"), address


async def test_a_pod_reaches_itself_through_the_bridge(lab: Lab) -> None:
    load_table(
        lab.namespace("node"),
        "ip",
        (PREROUTING, "ip daddr 10.96.0.1 dnat to 10.244.1.10"),
        (POSTROUTING, "ip saddr 10.244.1.10 ip daddr 10.244.1.10 masquerade"),
    )
    assert await lab.probe("pod-a", "TCP", "10.96.0.1", 8080) == Outcome(Result.OK, "pod-a", "10.244.1.1")


async def test_rejections_and_drops_differ(lab: Lab) -> None:
    lab.patience = 0.2
    rules = "ip daddr 10.244.1.10 th dport 8080 reject; ip daddr 10.244.1.10 th dport 9090 drop"
    load_table(lab.namespace("node"), "inet", (FORWARD, rules))
    for transport in ("TCP", "UDP"):
        assert (await lab.probe("ext", transport, "10.244.1.10", 8080)).result is Result.REJECTED
        assert (await lab.probe("ext", transport, "10.244.1.10", 9090)).result is Result.TIMEOUT


async def test_hundreds_of_rejections_in_a_row_all_arrive(lab: Lab) -> None:
    sample = await lab.sample("ext", "UDP", "10.244.1.10", 1, 500)
    assert sample.failures == {Result.REJECTED: 500}


async def test_the_calibration_agrees_with_a_bare_rule(lab: Lab) -> None:
    arrives = await tcp6_rejections_arrive(lab)
    assert (await lab.probe("ext", "TCP", "fd00:77::3", HOST_PORT)).result is Result.REJECTED  # by the closed port
    load_table(lab.namespace("node"), "ip6", (INPUT, f"tcp dport {HOST_PORT} reject"))
    outcome = await lab.probe("ext", "TCP", "fd00:77::2", HOST_PORT)
    assert (outcome.result is Result.REJECTED) == arrives


async def test_a_listener_that_hangs_up_is_told_from_one_that_refuses(lab: Lab) -> None:
    listener = lab.namespace("pod-a").socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("0.0.0.0", 7000))

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(hang_up, sock=listener)
    async with server:
        assert (await lab.probe("ext", "TCP", "10.244.1.10", 7000)).result is Result.CLOSED


@pytest.mark.parametrize("transport", ["TCP", "UDP"])
async def test_a_sample_counts_every_request(lab: Lab, transport: str) -> None:
    sample = await lab.sample("ext", transport, "10.244.2.10", 8080, 200)  # type: ignore[arg-type]
    assert sample.tries == 200
    assert sample.answers == {("pod-c", "192.168.77.100"): 200}
    assert sample.sources == {"192.168.77.100"}


async def test_a_flow_keeps_its_connection_while_new_ones_go_elsewhere(lab: Lab) -> None:
    def translate_to(pod: str) -> None:
        load_table(lab.namespace("node"), "ip", (PREROUTING, f"ip daddr 10.96.0.1 dnat to {pod}"))

    translate_to("10.244.1.10")
    with lab.flow("pod-x", "TCP", "10.96.0.1", 8080) as flow:
        assert (await flow.ask()).pod == "pod-a"
        translate_to("10.244.1.11")
        assert (await flow.ask()).pod == "pod-a"
        assert (await lab.probe("pod-x", "TCP", "10.96.0.1", 8080)).pod == "pod-b"


async def test_a_new_udp_socket_is_never_part_of_an_old_flow(lab: Lab) -> None:
    load_table(lab.namespace("node"), "ip", (PREROUTING, "ip daddr 10.96.0.1 dnat to 10.244.1.10"))
    assert (await lab.sample("ext", "UDP", "10.96.0.1", 8080, 2000)).pods.keys() == {"pod-a"}
    with lab.flow("ext", "UDP", "10.96.0.1", 8080) as old:
        assert (await old.ask()).pod == "pod-a"
        load_table(lab.namespace("node"), "ip", (PREROUTING, "ip daddr 10.96.0.1 dnat to 10.244.1.11"))
        assert (await old.ask()).pod == "pod-a"  # connection tracking still knows it
    assert (await lab.sample("ext", "UDP", "10.96.0.1", 8080, 2000)).pods.keys() == {"pod-b"}


async def test_labs_do_not_see_each_other(lab: Lab) -> None:
    async with Lab.open() as other:
        load_table(other.namespace("pod-a"), "ip", (INPUT, "reject"))
        assert (await other.probe("ext", "TCP", "10.244.1.10", 8080)).result is Result.REJECTED
        assert (await lab.probe("ext", "TCP", "10.244.1.10", 8080)).result is Result.OK


async def test_http_inside_a_namespace(lab: Lab) -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text=request.remote)

    listener = lab.namespace("node").socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 8080))
    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    async with lab.http("node") as http, http.get("http://127.0.0.1:8080/") as response:
        assert await response.text() == "127.0.0.1"
    await runner.cleanup()
