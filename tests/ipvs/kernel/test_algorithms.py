"""Services that ask for an algorithm, by what it does to traffic."""

from collections.abc import Iterator

import pytest

from kproxy.backends.ipvs.schedulers import FOR_ALGORITHM
from kproxy.kernel.ipvs.protocol import FALLBACK, ServerSettings
from kproxy.services.balancing import Algorithm
from kproxy.services.model import ServiceName
from kproxy.services.objects import EndpointSlice
from tests.ipvs.kernel.running import put, started
from tests.ipvs.kernel.traffic import add_addresses, answers, real_servers
from tests.ipvs.kernel_state import at, contents, tcp, tracker_of
from tests.services.builders import service, slice_of

VIP, A, B, C = "10.96.0.10", "10.244.0.1", "10.244.0.2", "10.244.0.3"
KEY = tcp(VIP, 80)
CLIENTS = [f"10.9.0.{n}" for n in range(1, 9)]


@pytest.fixture(autouse=True)
def served(ipvs_namespace: None) -> Iterator[None]:
    with real_servers([A, B, C]):
        yield


def weighing(weights: str, *addresses: str) -> EndpointSlice:
    return slice_of("web", *addresses, annotations={"kproxy/weights": weights})


async def test_weights_are_those_of_the_real_servers_and_change_in_place() -> None:
    asked = service("web", annotations={"kproxy/balancing": "weighted"})
    tracker = tracker_of([asked, weighing(f"{A}=3, {B}=1, {C}=0", A, B, C)])
    made = await started(tracker, scheduler="lc")
    assert contents(draining=True).servers[KEY] == (
        ServerSettings("wrr"),
        {at(A, 8080): 3, at(B, 8080): 1, at(C, 8080): 0},
    )
    assert answers(VIP, 8) == {A: 6, B: 2}
    assert not await made._drifted()

    (outcome, _) = await put(made, tracker, weighing(f"{A}=1, {B}=1, {C}=2", A, B, C))
    assert (outcome.objects, outcome.refused) == (2, ())
    assert answers(VIP, 8) == {A: 2, B: 2, C: 4}

    # What weighs nothing still serves when nothing else weighs more.
    await put(made, tracker, weighing(f"{A}=0, {B}=0", A, B))
    assert answers(VIP, 4) == {A: 2, B: 2}
    made.close()


async def test_a_clients_connections_go_to_one_endpoint() -> None:
    add_addresses(*CLIENTS)
    asked = service("web", annotations={"kproxy/balancing": "source-hash"})
    made = await started(tracker_of([asked, slice_of("web", A, B, C)]))
    assert contents().servers[KEY][0] == ServerSettings("sh", FALLBACK)
    assert all(len(answers(VIP, 3, sources=[client])) == 1 for client in CLIENTS)
    assert len(answers(VIP, len(CLIENTS), sources=CLIENTS)) > 1
    made.close()


async def test_an_algorithm_that_comes_and_goes_changes_the_virtual_server_in_place() -> None:
    tracker = tracker_of([service("web"), slice_of("web", A, B)])
    made = await started(tracker, scheduler="lc")
    for algorithm, scheduler in (("round-robin", "rr"), ("destination-hash", "dh"), ("random", "lc")):
        (outcome, _) = await put(made, tracker, service("web", annotations={"kproxy/balancing": algorithm}))
        assert (outcome.objects, outcome.refused) == (1, ())
        assert contents().servers[KEY][0].scheduler == scheduler
    made.close()


async def test_a_scheduler_that_the_kernel_lacks_is_one_services_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FOR_ALGORITHM, Algorithm.WEIGHTED, "fast")
    tracker = tracker_of([service("web"), slice_of("web", A), service("other", clusterIP="10.96.0.11")])
    made = await started(tracker)
    odd = service("odd", clusterIP="10.96.0.12", annotations={"kproxy/balancing": "weighted"})
    outcome, _ = await put(made, tracker, odd, slice_of("odd", A, B), slice_of("other", B))
    [refused] = outcome.refused
    assert refused.service == ServiceName("default", "odd")
    words = "virtual server TCP 10.96.0.12:80: this kernel has no scheduler 'fast' (module ip_vs_fast); it offers rr, "
    assert refused.reason.startswith(words)
    assert tcp("10.96.0.12", 80) not in contents().servers
    assert contents().servers[tcp("10.96.0.11", 80)][1] == {at(B, 8080): 1}
    assert not await made._drifted()

    # It takes no full sync to find out again.
    outcome, _ = await put(made, tracker, slice_of("odd", A))
    assert not outcome.failed

    # A Service that has a scheduler keeps it.
    outcome, _ = await put(made, tracker, service("web", annotations={"kproxy/balancing": "weighted"}))
    assert [refused.service for refused in outcome.refused] == [ServiceName("default", "web")]
    assert contents().servers[KEY] == (ServerSettings("rr"), {at(A, 8080): 1})
    assert not await made._drifted()
    made.close()
