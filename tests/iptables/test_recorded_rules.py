"""Our rules beside those that kube-proxy v1.36.2 left in the kernel for the same objects."""

import pytest

from kproxy.backends.iptables.options import RuleOptions
from kproxy.backends.iptables.render import render
from kproxy.backends.iptables.saved import parse
from kproxy.backends.iptables.tool import Tool
from kproxy.services.addresses import Family
from tests.iptables.kernel_state import (
    DUMPS,
    POD_NETWORKS,
    Rules,
    backend,
    kernel_rules,
    manifest,
    normalised,
    recorded,
    tracker_of,
    written,
)
from tests.services.builders import node

SCENARIOS = sorted(path.stem for path in DUMPS.glob("*.yaml"))
_COMMANDS = {Family.IPV4: "iptables-save", Family.IPV6: "ip6tables-save"}


def differences(ours: Rules, family: Family, scenario: str) -> list[str]:
    found = []
    for command, theirs in recorded(scenario).items():
        if command.split()[0] != _COMMANDS[family]:
            continue
        table = command.split()[-1]
        mine = {key: rules for key, rules in ours.items() if key[0] == table}
        found += [
            f"{key}: {mine.get(key)} != {theirs.get(key)}" for key in mine | theirs if mine.get(key) != theirs.get(key)
        ]
    return found


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_the_kernel_holds_what_kube_proxy_left(scenario: str, tools: dict[Family, Tool]) -> None:
    running = backend(tools)
    tracker = tracker_of([node("node", zone="a"), *manifest(scenario)])
    written(await running.sync_all((), tracker))
    for family, rules in kernel_rules(tools).items():
        assert not differences(rules, family, scenario)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_rendered_text_is_what_iptables_save_prints(scenario: str) -> None:
    tracker = tracker_of([node("node", zone="a"), *manifest(scenario)])
    for family in Family:
        options = RuleOptions(
            family=family,
            local_traffic=POD_NETWORKS[family],
            localhost_node_ports=family is Family.IPV4,
            accounting=True,
        )
        rules = normalised(parse(render(tracker, options).encode()))
        own_chains = {key: lines for key, lines in rules.items() if key[1].startswith("KUBE-")}
        theirs = recorded(scenario)
        for command, wanted in theirs.items():
            if command.split()[0] == _COMMANDS[family]:
                ours = {key: lines for key, lines in own_chains.items() if key[0] == command.split()[-1]}
                assert ours == {key: lines for key, lines in wanted.items() if key[1].startswith("KUBE-")}
