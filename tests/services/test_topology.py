"""Which endpoints a Service port uses: readiness, termination, locality, hints."""

import pytest

from kproxy.services.topology import Candidate, Placement, select

HERE = Placement("here", "a")


def candidate(
    number: int,
    *,
    ready: bool = True,
    draining: bool = False,
    local: bool = False,
    zones: str = "",
    nodes: str = "",
) -> Candidate:
    return Candidate(
        bytes((10, 0, 0, number)), ready, draining, local, frozenset(zones) or None, frozenset(nodes.split()) or None
    )


def cluster(*candidates: Candidate, placement: Placement = HERE) -> list[int]:
    return list(select(candidates, placement, cluster=True, local=False).cluster)


def local(*candidates: Candidate) -> list[int]:
    return list(select(candidates, HERE, cluster=False, local=True).local)


def test_only_ready_endpoints_take_traffic() -> None:
    assert cluster(candidate(1), candidate(2, ready=False), candidate(3, ready=False, draining=True)) == [0]


def test_draining_endpoints_take_traffic_when_nothing_is_ready() -> None:
    assert cluster(candidate(1, ready=False), candidate(2, ready=False, draining=True)) == [1]


def test_local_falls_back_to_local_draining_endpoints_though_others_are_ready_elsewhere() -> None:
    candidates = candidate(1), candidate(2, ready=False, draining=True, local=True)
    assert local(*candidates) == [1]
    assert cluster(*candidates) == [0]


def test_local_without_local_endpoints_knows_that_others_exist() -> None:
    assert select([candidate(1)], HERE, cluster=False, local=True) == ((), [], True)


def test_nothing_usable_means_no_endpoints() -> None:
    assert select([candidate(1, ready=False)], HERE, cluster=True, local=True).has_endpoints is False


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ((candidate(1, zones="a"), candidate(2, zones="b")), [0]),
        ((candidate(1, zones="ab"), candidate(2, zones="b")), [0]),
        ((candidate(1, zones="b"), candidate(2, zones="b")), [0, 1]),
        ((candidate(1, zones="a"), candidate(2)), [0, 1]),
        ((candidate(1), candidate(2, zones="a")), [0, 1]),
        ((candidate(1, zones="a"), candidate(2, ready=False)), [0]),
        ((candidate(1, nodes="here"), candidate(2, nodes="there")), [0]),
        ((candidate(1, nodes="there"), candidate(2, nodes="there")), [0, 1]),
        ((candidate(1, nodes="there", zones="a"), candidate(2, nodes="there", zones="b")), [0]),
        ((candidate(1, nodes="here", zones="b"), candidate(2, nodes="there", zones="a")), [0]),
    ],
    ids=[
        "same-zone",
        "several-zones",
        "no-hint-for-this-zone",
        "hint-missing",
        "hint-missing-on-the-first",
        "hints-of-unready-do-not-count",
        "same-node",
        "no-hint-for-this-node",
        "node-hints-elsewhere-then-zone",
        "node-before-zone",
    ],
)
def test_hints(candidates: tuple[Candidate, ...], chosen: list[int]) -> None:
    assert cluster(*candidates) == chosen


def test_a_node_without_a_zone_ignores_zone_hints() -> None:
    candidates = candidate(1, zones="a"), candidate(2, zones="b")
    assert cluster(*candidates, placement=Placement("here", "")) == [0, 1]
