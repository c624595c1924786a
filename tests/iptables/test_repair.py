"""Locks, kills, floods and other people: what happens to the rules, and what a sync says about it."""

import asyncio
import fcntl
import os
import re
import subprocess
from pathlib import Path

import pytest

from kproxy.backends.iptables import legacy_watch
from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.services.addresses import Family
from kproxy.services.objects import Service
from tests.iptables.kernel_state import backend, kernel_rules, tools_of, tracker_of, written
from tests.iptables.test_changes import some_services
from tests.services.builders import slice_of

TAMPERING = [
    "-t nat -F",
    "-t nat -D PREROUTING 1",
    "-t filter -F KUBE-FORWARD",
    "-t nat -D KUBE-SERVICES 1",
    "-t nat -F KUBE-POSTROUTING",
    "-t filter -F INPUT",
    "-t mangle -X KUBE-PROXY-CANARY",
    "-t filter -X KUBE-PROXY-CANARY",
    "-t nat -X KUBE-PROXY-CANARY",
]


def iptables(tool: Tool, *arguments: str) -> str:
    command = f"iptables-{tool.variant.value}"
    return subprocess.run([command, *arguments], check=True, capture_output=True, text=True).stdout


async def test_what_somebody_else_changed_is_repaired(tools: dict[Family, Tool]) -> None:
    tracker, running = tracker_of(some_services(10)), backend(tools)
    written(await running.sync_all((), tracker))
    right = kernel_rules(tools)
    for tampering in (*TAMPERING, "-t nat -I KUBE-SERVICES -j RETURN", "-t nat -A KUBE-SERVICES -j RETURN"):
        iptables(tools[Family.IPV4], *tampering.split())
        assert written(await running.sync_all((), tracker)) > 0, tampering
        assert kernel_rules(tools) == right, tampering
        assert written(await running.sync_all((), tracker)) == 0, tampering


async def test_other_programs_rules_are_left_alone(tools: dict[Family, Tool]) -> None:
    tool = tools[Family.IPV4]
    tracker, running = tracker_of(some_services(5)), backend(tools)
    iptables(tool, "-t", "nat", "-N", "CNI-OTHER")
    iptables(tool, "-t", "nat", "-A", "PREROUTING", "-j", "CNI-OTHER")
    written(await running.sync_all((), tracker))
    iptables(tool, "-t", "filter", "-I", "FORWARD", "-j", "ACCEPT")
    assert written(await running.sync_all((), tracker)) == 0
    rules = kernel_rules(tools)[Family.IPV4]
    assert rules["nat", "PREROUTING"][-1] == "-A PREROUTING -j CNI-OTHER"
    assert rules["filter", "FORWARD"][0] == "-A FORWARD -j ACCEPT"


async def test_stale_chains_go_unless_somebody_elses_rule_needs_one(tools: dict[Family, Tool]) -> None:
    tool = tools[Family.IPV4]
    for chain in ("KUBE-SVC-STALE", "KUBE-SEP-STALE", "KUBE-XLB-STALE", "KUBE-SVC-NEEDED", "MINE"):
        iptables(tool, "-t", "nat", "-N", chain)
    iptables(tool, "-t", "nat", "-A", "KUBE-SVC-STALE", "-j", "KUBE-SEP-STALE")
    iptables(tool, "-t", "nat", "-A", "MINE", "-j", "KUBE-SVC-NEEDED")
    written(await backend(tools).sync_all((), tracker_of(some_services(2))))
    chains = {chain for table, chain in kernel_rules(tools)[Family.IPV4] if table == "nat"}
    assert {"KUBE-SVC-NEEDED", "MINE"} <= chains
    assert not {"KUBE-SVC-STALE", "KUBE-SEP-STALE", "KUBE-XLB-STALE"} & chains


async def test_a_change_to_flushed_rules_fails_and_the_full_sync_repairs(tools: dict[Family, Tool]) -> None:
    tracker, running = tracker_of(some_services(5)), backend(tools)
    written(await running.sync_all((), tracker))
    tracker.take()
    iptables(tools[Family.IPV4], "-t", "nat", "-F")
    tracker.delete(Service, "default", "s1")
    outcomes = await running.sync(tracker.take().services, tracker)
    assert [(outcome.failed, outcome.full) for outcome in outcomes] == [(True, False), (False, False)]
    assert re.search(r"iptables-\w+-restore: exit status 1", outcomes[0].refused[0].reason)
    assert written(await running.sync_all((), tracker)) > 0
    assert not any("10.96.0.2/32" in rule for rules in kernel_rules(tools)[Family.IPV4].values() for rule in rules)


@pytest.mark.usefixtures("network_namespace")
async def test_a_lock_that_somebody_holds_is_named_in_the_same_words_each_time(lock_file: Path) -> None:
    tools = {Family.IPV4: tools_of(Variant.LEGACY, lock_wait=1)[Family.IPV4]}
    tracker, running = tracker_of(some_services(2)), backend(tools)
    with lock_file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        first, second = [(await running.sync_all((), tracker))[0].refused for _ in range(2)]
    assert first == second
    assert "has held the xtables lock for 1 s" in first[0].reason
    assert written(await running.sync_all((), tracker)) > 0


async def test_a_killed_program_fails_the_sync_and_the_next_one_repairs(
    tools: dict[Family, Tool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker, running = tracker_of(some_services(2)), backend(tools)
    written(await running.sync_all((), tracker))
    tracker.take()
    for family, name in ((Family.IPV4, "iptables"), (Family.IPV6, "ip6tables")):
        program = tmp_path / f"{name}-{tools[family].variant.value}-restore"
        program.write_text("#!/bin/sh\nhead -c 100 >/dev/null\nkill -9 $$\n", encoding="ascii")
        program.chmod(0o755)
    tracker.upsert(slice_of("s1", "10.9.9.9", ports=(("", 8080),)))
    with monkeypatch.context() as killed:
        killed.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        outcome = (await running.sync(tracker.take().services, tracker))[0]
        assert outcome.failed
        assert "SIGKILL" in outcome.refused[0].reason
    assert written(await running.sync_all((), tracker)) > 0
    assert "10.9.9.9:8080" in str(kernel_rules(tools)[Family.IPV4])


async def test_tampering_is_noticed(tools: dict[Family, Tool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(legacy_watch, "POLL_SECONDS", 0.02)
    tracker, running = tracker_of(some_services(5)), backend(tools)
    written(await running.sync_all((), tracker))
    noticed = asyncio.Event()
    running.watch(noticed.set)
    try:
        for tampering in TAMPERING:
            iptables(tools[Family.IPV4], *tampering.split())
            await asyncio.wait_for(noticed.wait(), 5)
            assert written(await running.sync_all((), tracker)) > 0, tampering
            await asyncio.sleep(0.05)  # what our own repair may have set off would be here by now
            noticed.clear()
    finally:
        running.close()


async def test_our_own_writing_and_other_programs_additions_are_no_tampering(
    tools: dict[Family, Tool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legacy_watch, "POLL_SECONDS", 0.02)
    tracker, running = tracker_of(some_services(5)), backend(tools)
    written(await running.sync_all((), tracker))
    noticed = asyncio.Event()
    running.watch(noticed.set)
    try:
        for number in range(3):
            tracker.delete(Service, "default", f"s{number}")
            written(await running.sync(tracker.take().services, tracker))
            await asyncio.sleep(0.05)
        for obj in some_services(200):
            tracker.upsert(obj)
        written(await running.sync(tracker.take().services, tracker))
        iptables(tools[Family.IPV4], "-t", "nat", "-A", "PREROUTING", "-j", "ACCEPT")
        await asyncio.sleep(0.1)
        assert not noticed.is_set()
    finally:
        running.close()
