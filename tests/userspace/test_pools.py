"""Turns, affinity and passive health, on a clock of the test's own."""

import collections

from hypothesis import given
from hypothesis import strategies as st

from kproxy.backends.userspace.dataplane.endpoints import FIRST_PAUSE, LONGEST_PAUSE, Endpoint, Endpoints
from kproxy.backends.userspace.dataplane.pools import Affinity, Pool
from kproxy.backends.userspace.dataplane.table import ForwardingTable
from kproxy.backends.userspace.messages import ForwardedPort, Stuck

CLIENT = "192.0.2.1"


def pool_of(count: int, *, affinity: Affinity | None = None) -> Pool:
    known, pool = Endpoints(), Pool()
    pool.affinity = affinity
    pool.replace([known.take((f"10.0.0.{i}", 80)) for i in range(count)])
    return pool


def pick(pool: Pool, client: str = CLIENT, now: float = 0.0, tried: tuple[Endpoint, ...] = ()) -> Endpoint:
    picked = pool.pick(client, tried, now)
    assert picked is not None
    return picked


@given(st.integers(1, 12), st.integers(1, 5))
def test_each_round_has_every_endpoint_once(count: int, rounds: int) -> None:
    pool = pool_of(count)
    for _ in range(rounds):
        assert {pick(pool) for _ in range(count)} == set(pool.endpoints)


def test_clients_in_step_meet_all_endpoints() -> None:
    pool = pool_of(2)
    met = [(pick(pool, "a"), pick(pool, "b")) for _ in range(64)]
    assert {first for first, _ in met} == {second for _, second in met} == set(pool.endpoints)


def test_a_failing_endpoint_is_left_alone_and_then_tried_by_one() -> None:
    pool = pool_of(2)
    bad, good = pool.endpoints
    bad.failed(10.0)
    assert {pick(pool, now=10.5) for _ in range(8)} == {good}
    trial = collections.Counter(pick(pool, now=11.5) for _ in range(8))
    assert trial[bad] == 1
    bad.failed(11.6)
    assert {pick(pool, now=11.6 + 1.5 * FIRST_PAUSE) for _ in range(8)} == {good}
    bad.succeeded()
    assert {pick(pool, now=11.7) for _ in range(3)} == {good, bad}


def test_pauses_double_up_to_a_limit() -> None:
    endpoint = Endpoint(("10.0.0.1", 80), set())
    now, pauses = 0.0, []
    for _ in range(8):
        endpoint.failed(now)
        pauses.append(endpoint.retry_at - now)
        now = endpoint.retry_at
    assert pauses == [1, 2, 4, 8, 16, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert pauses[0] == FIRST_PAUSE


def test_failures_of_connections_under_way_count_once() -> None:
    endpoint = Endpoint(("10.0.0.1", 80), set())
    for moment in (0.0, 0.1, 0.2):
        endpoint.failed(moment)
    assert endpoint.retry_at == FIRST_PAUSE


def test_where_all_fail_the_next_to_be_tried_is_tried_now_and_each_once() -> None:
    pool = pool_of(3)
    for moment, endpoint in enumerate(pool.endpoints):
        endpoint.failed(float(moment))
    by_pause = sorted(pool.endpoints, key=lambda endpoint: endpoint.retry_at)
    tried: tuple[Endpoint, ...] = ()
    while (picked := pool.pick(CLIENT, tried, 0.5)) is not None:
        tried = (*tried, picked)
    assert list(tried) == by_pause


def test_affinity_lasts_as_long_as_the_client_comes_back() -> None:
    pool = pool_of(8, affinity=Affinity(10.0, 100, lambda: None))
    first = pick(pool, now=0.0)
    assert pick(pool, now=9.0) is first
    assert pick(pool, now=18.0) is first
    others = [endpoint for endpoint in pool.endpoints if endpoint is not first]
    pool.replace(others)
    assert pick(pool, now=19.0) in others


def test_a_sticky_client_moves_when_its_endpoint_fails_and_stays_there() -> None:
    pool = pool_of(3, affinity=Affinity(1000.0, 100, lambda: None))
    first = pick(pool)
    first.failed(0.0)
    second = pick(pool, now=0.1, tried=(first,))
    assert second is not first
    first.succeeded()
    assert pick(pool, now=5.0) is second


def test_the_client_away_for_longest_is_forgotten_first() -> None:
    forgotten = []
    affinity = Affinity(1000.0, 2, lambda: forgotten.append(1))
    endpoint = Endpoints().take(("10.0.0.1", 80))
    for moment, client in enumerate(("a", "b", "a", "c")):
        affinity.remember(client, endpoint, float(moment))
    assert len(affinity) == 2
    assert affinity.endpoint_of("b", 4.0) is None
    assert affinity.endpoint_of("a", 4.0) is affinity.endpoint_of("c", 4.0) is endpoint
    assert len(forgotten) == 1


def test_workers_agree_on_new_clients_and_an_endpoint_that_goes_moves_only_its_own() -> None:
    addresses = tuple((f"10.0.0.{i}", 80) for i in range(10))
    tables = [_table() for _ in range(2)]
    clients = [f"192.0.2.{i}" for i in range(100)]

    def picks(table: ForwardingTable) -> dict[str, tuple[str, int]]:
        port = table.port(1)
        assert port is not None
        port.cluster.affinity = Affinity(1000.0, 1000, lambda: None)
        return {client: pick(port.cluster, client).address for client in clients}

    for table in tables:
        table.put(_port(addresses))
    before = picks(tables[0])
    assert picks(tables[1]) == before
    assert len(set(before.values())) > 5
    tables[0].put(_port(addresses[1:]))
    after = picks(tables[0])
    assert {client for client in clients if before[client] != after[client]} == {
        client for client in clients if before[client] == addresses[0]
    }


def test_what_one_worker_decided_holds_in_another() -> None:
    told: list[Stuck] = []
    first, second = _table(told.append), _table()
    addresses = tuple((f"10.0.0.{i}", 80) for i in range(4))
    for table in (first, second):
        table.put(_port(addresses))
    port = first.port(1)
    assert port is not None
    own = pick(port.cluster)
    port.cluster.pick(CLIENT, (own,), 0.0)
    for message in told:
        second.stick(message, 0.0)
    other = second.port(1)
    assert other is not None
    assert pick(other.cluster).address == pick(port.cluster).address != own.address


def test_frontends_move_between_ports_whatever_comes_first() -> None:
    table = _table()
    key = bytes((10, 96, 0, 1)) + (80).to_bytes(2, "big")
    table.put(_port((("10.0.0.1", 80),), identifier=1, frontends=(key, key[-2:])))
    table.put(_port((("10.0.0.2", 80),), identifier=2, frontends=(key,)))
    table.remove(1)
    assert table.at(4, key) is table.port(2)
    assert table.at(4, bytes((192, 0, 2, 1)) + key[-2:]) is None
    assert len(table) == 1


def _table(on_stuck: collections.abc.Callable[[Stuck], None] = lambda told: None) -> ForwardingTable:
    return ForwardingTable(1000, shared=True, on_stuck=on_stuck, on_forgotten=lambda: None)


def _port(
    endpoints: tuple[tuple[str, int], ...], *, identifier: int = 1, frontends: tuple[bytes, ...] = ()
) -> ForwardedPort:
    return ForwardedPort(
        id=identifier,
        label="default/web",
        protocol="TCP",
        family=4,
        cluster=endpoints,
        local=(),
        affinity_seconds=1000 if identifier == 1 and not frontends else 0,
        by_client=False,
        frontends=frontends,
    )
