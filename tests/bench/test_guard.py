"""The regression guard: counts keep their budgets, do not depend on the size of the cluster, and can exceed them."""

import pytest

from kproxy.bench.guard import budgets
from kproxy.bench.guard.budgets import Budgets, Finding
from kproxy.bench.guard.counting import counted_calls, counted_instructions
from kproxy.bench.guard.workloads import IN_NAMESPACE, LARGER, SMALL, WORKLOADS


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.root] if name.startswith(IN_NAMESPACE) else []) for name in WORKLOADS],
)
def test_budget(name: str) -> None:
    exceeded = [finding for finding in budgets.judge(name, budgets.count(name), budgets.load()) if not finding.kept]
    assert not exceeded, "above budget; `kproxy bench guard --record` if it is worth it"


def test_every_workload_has_a_budget() -> None:
    assert budgets.load().budgets.keys() == WORKLOADS.keys()


@pytest.mark.root
def test_a_change_costs_the_same_in_a_larger_cluster() -> None:
    few, many = (budgets.count(f"nftables, change, {size}") for size in (SMALL, LARGER))
    assert many["instructions"] <= few["instructions"] * 1.02
    assert many["netlink bytes"] == few["netlink bytes"]


def test_more_than_the_budget_is_found() -> None:
    recorded = Budgets("0.0", {"w": {"netlink messages": 2, "instructions": 100}})
    findings = budgets.judge("w", {"netlink messages": 3, "instructions": 900, "new": 1}, recorded)
    assert findings == [
        Finding("w", "instructions", 900, None),  # of another version of Python
        Finding("w", "netlink messages", 3, 2),
        Finding("w", "new", 1, None),
    ]
    assert [finding.kept for finding in findings] == [True, False, True]


def test_the_interpreter_has_some_tolerance() -> None:
    assert Finding("w", "instructions", 104, 100).kept
    assert not Finding("w", "instructions", 106, 100).kept


def test_instructions_and_calls_are_counted() -> None:
    def work(times: int) -> None:
        for _ in range(times):
            _nothing()

    found = []
    for times in (10, 20):
        with counted_calls() as calls:
            work(times)
        with counted_instructions() as instructions:
            work(times)
        found.append((calls["calls"], instructions["instructions"]))
    (few_calls, few), (many_calls, many) = found
    assert many_calls - few_calls == 10
    assert many > few


def test_system_calls_are_counted() -> None:
    import socket

    left, right = socket.socketpair()
    with left, right:
        with counted_calls() as counts:
            left.send(b"x")
            right.recv(1)
            len(b"no system call")
        assert counts["system calls"] == 2


def _nothing() -> None:
    pass
