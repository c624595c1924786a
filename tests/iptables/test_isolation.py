"""A Service that iptables or the kernel refuses: the others are served, and it is named."""

import pytest

from kproxy.backends.interface import Outcome
from kproxy.backends.iptables import compile as compiling
from kproxy.backends.iptables.backend import IptablesBackend
from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.services.addresses import Family, parse_network
from kproxy.services.model import ServiceName
from kproxy.services.objects import EndpointSlice, KubeObject
from kproxy.services.tracker import ServiceTracker
from tests.iptables.kernel_state import backend, kernel_rules, tracker_of, written
from tests.iptables.test_changes import some_services
from tests.services.builders import endpoint, service, slice_of

MISUNDERSTOOD = "nonsense"
"""iptables-restore cannot read it, and names the line."""
REFUSED_BY_THE_KERNEL = "255.255.255.255 -m nfacct --nfacct-name missing"
"""There is no such counter: the legacy variant only learns that COMMIT failed."""


@pytest.fixture(params=[MISUNDERSTOOD, REFUSED_BY_THE_KERNEL], ids=["misunderstood", "refused-by-the-kernel"])
def poison(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Spoils a rule of every Service with session affinity, until it is undone."""
    monkeypatch.setattr(compiling, "recent_mask", lambda family: request.param)
    return monkeypatch


def spoilt(number: int) -> list[KubeObject]:
    name = f"spoilt{number}"
    return [
        service(name, clusterIP=f"10.96.9.{number}", sessionAffinity="ClientIP", ports=[{"port": 80}]),
        slice_of(name, endpoint(f"10.9.9.{number}", nodeName="node"), ports=(("", 8080),)),
    ]


def names(outcome: Outcome) -> set[ServiceName | None]:
    return {refused.service for refused in outcome.refused}


def served(tools: dict[Family, Tool]) -> set[str]:
    """The cluster IPs that lead somewhere."""
    rules = kernel_rules(tools)[Family.IPV4]["nat", "KUBE-SERVICES"]
    return {rule.split()[3].removesuffix("/32") for rule in rules if "cluster IP" in rule}


def endpoints(tools: dict[Family, Tool]) -> str:
    return str([rules for (_, chain), rules in kernel_rules(tools)[Family.IPV4].items() if "SEP" in chain])


class WatchedTool(Tool):
    """Looks after each run at what is served."""

    always: frozenset[str] = frozenset()

    async def restore(self, commands: bytes) -> None:
        try:
            await super().restore(commands)
        finally:
            assert served({Family.IPV4: self}) >= self.always


SOUND = frozenset(f"10.96.0.{i + 1}" for i in range(20))
ALL = [*some_services(10), *spoilt(1), *some_services(20)[20:], *spoilt(2), *spoilt(3)]
CULPRITS = {ServiceName("default", f"spoilt{number}") for number in (1, 2, 3)}


async def recovers(tools: dict[Family, Tool], running: IptablesBackend, tracker: ServiceTracker) -> None:
    """When nothing is wrong with them any more, the next sync has them all."""
    written(await running.sync_all((), tracker))
    assert served(tools) == SOUND | {f"10.96.9.{number}" for number in (1, 2, 3)}
    assert written(await running.sync_all((), tracker)) == 0


async def test_at_the_start(tools: dict[Family, Tool], poison: pytest.MonkeyPatch) -> None:
    tracker = tracker_of(ALL)
    running = backend(tools)
    for _ in range(2):  # tried again, and refused again
        outcome = (await running.sync_all((), tracker))[0]
        assert names(outcome) == CULPRITS
        assert not outcome.failed
        assert served(tools) == SOUND
    poison.undo()
    await recovers(tools, running, tracker)


async def test_in_the_midst_of_changes(tools: dict[Family, Tool], poison: pytest.MonkeyPatch) -> None:
    tracker = tracker_of(some_services(20))
    watched = {Family.IPV4: WatchedTool(Family.IPV4, variant := tools[Family.IPV4].variant, infix=f"-{variant.value}")}
    running = backend(watched)
    written(await running.sync_all((), tracker))
    watched[Family.IPV4].always = SOUND
    for number in (1, 2, 3):
        for obj in spoilt(number):
            tracker.upsert(obj)
    for number in range(5):
        tracker.upsert(slice_of(f"s{number}", f"10.9.8.{number + 1}", ports=(("", 8080),)))
    outcome = (await running.sync(tracker.take().services, tracker))[0]
    assert names(outcome) == CULPRITS
    assert (outcome.failed, outcome.full) == (False, False)
    assert served(tools) == SOUND
    assert all(f"10.9.8.{number + 1}:8080" in endpoints(tools) for number in range(5))
    poison.undo()
    await recovers(tools, running, tracker)


async def test_tables_that_were_written_before_the_refusal_hold_nothing_twice(
    tools: dict[Family, Tool], poison: pytest.MonkeyPatch
) -> None:
    """Services without endpoints are refused in the filter table, which is committed before the nat table is not."""
    objects = some_services(6)
    tracker = tracker_of(objects)
    tracker.delete(EndpointSlice, "default", "s5-1")
    network = parse_network("192.0.2.0/24")
    assert network
    running = backend(tools, node_port_networks=(network,))
    running.set_node_port_addresses([bytes((192, 0, 2, 1))])
    written(await running.sync_all((), tracker))
    running.set_node_port_addresses([bytes((192, 0, 2, 2))])
    for number in (0, 1):
        tracker.delete(EndpointSlice, "default", f"s{number}-1")
    tracker.upsert(objects[11])
    for obj in spoilt(1):
        tracker.upsert(obj)
    outcome = (await running.sync(tracker.take().services, tracker))[0]
    assert names(outcome) == {ServiceName("default", "spoilt1")}
    assert "-d 192.0.2.2/32" in str(kernel_rules(tools)[Family.IPV4]["nat", "KUBE-SERVICES"])
    for obj in spoilt(1):
        tracker.delete(type(obj), "default", obj.metadata.name)
    written(await running.sync(tracker.take().services, tracker))
    assert written(await running.sync_all((), tracker)) == 0
    assert "has no endpoints" in str(kernel_rules(tools)[Family.IPV4]["filter", "KUBE-SERVICES"])


async def test_a_service_that_becomes_bad_goes_with_its_old_rules(
    tools: dict[Family, Tool], poison: pytest.MonkeyPatch
) -> None:
    bad, other = some_services(2)[0], some_services(2)[3]
    tracker = tracker_of(some_services(2))
    running = backend(tools)
    written(await running.sync_all((), tracker))
    tracker.upsert(service(bad.metadata.name, clusterIP="10.96.0.1", sessionAffinity="ClientIP", ports=[{"port": 80}]))
    tracker.upsert(slice_of(other.metadata.name, "10.9.8.1", ports=(("", 8080),)))
    outcome = (await running.sync(tracker.take().services, tracker))[0]
    assert names(outcome) == {ServiceName("default", bad.metadata.name)}
    assert served(tools) == {"10.96.0.2"}
    tracker.upsert(bad)
    written(await running.sync(tracker.take().services, tracker))
    assert served(tools) == {"10.96.0.1", "10.96.0.2"}, "sound again, it is served at once"


async def test_what_is_nobodys_fault_is_blamed_on_nobody(
    tools: dict[Family, Tool], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kproxy.backends.iptables import skeleton

    tracker, running = tracker_of(some_services(5)), backend(tools)
    with monkeypatch.context() as patched:
        patched.setattr(skeleton, "INVALID_DROPPED", "missing")
        outcome = (await running.sync_all((), tracker))[0]
        assert names(outcome) == {None}
        assert outcome.failed
    written(await running.sync_all((), tracker))
    assert len(served(tools)) == 5


async def test_finding_one_among_many_takes_few_runs(
    network_namespace: None, lock_file: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = Tool(Family.IPV4, Variant.LEGACY, infix="-legacy")
    monkeypatch.setattr(compiling, "recent_mask", lambda family: REFUSED_BY_THE_KERNEL)
    running = backend({Family.IPV4: tool})
    outcome = (await running.sync_all((), tracker_of([*some_services(200), *spoilt(1)])))[0]
    assert names(outcome) == {ServiceName("default", "spoilt1")}
    assert len(tool.processes) <= 2 + 2 * 8 + 1
