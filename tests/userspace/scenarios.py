"""The lab's scenarios as userspace mode plays them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from kproxy.lab.expectation import Expectation, Table, Target, answered
from kproxy.lab.scenario import Scenario, load_scenario


def load(path: Path, mode: str) -> Scenario:
    """What holds in iptables mode, but that pods see the proxy's address as the source."""
    iptables, nftables = load_scenario(path, "iptables"), load_scenario(path, "nftables")
    phases = [
        replace(phase, expect=dict(_rows(phase.expect, other.expect)))
        for phase, other in zip(iptables.phases, nftables.phases, strict=True)
    ]
    return replace(iptables, phases=tuple(phases))


def _rows(iptables: Table, nftables: Table) -> Iterator[tuple[Target, Expectation]]:
    for target, expected in iptables.items():
        other = nftables.get(target, expected)
        if expected.answers:
            # A row that only nftables mode has may have replaced this one in an earlier step.
            if other.answers or target.address == "127.0.0.1":
                version = 6 if ":" in target.address else 4
                yield target, answered(target.client, version, {"node": sorted(expected.pods)}, sticky=expected.sticky)
        else:
            # Where the two differ (what is left to routing, whom fences keep out), either's rules may redirect.
            yield target, Expectation(failures=expected.failures | other.failures)
