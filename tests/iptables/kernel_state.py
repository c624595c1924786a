"""What a test compares: the kernel's rules, read back, with what may differ between equal rule sets taken out."""

import functools
import re
from collections.abc import Mapping
from pathlib import Path

from kproxy.backends.interface import Outcome
from kproxy.backends.iptables.backend import IptablesBackend, IptablesOptions
from kproxy.backends.iptables.cleanup import cleanup_input
from kproxy.backends.iptables.saved import Saved, parse
from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.services.addresses import Family
from kproxy.services.local_traffic import by_network
from kproxy.services.objects import KubeObject
from kproxy.sources.manifest_files import parse_manifest
from tests.services import builders

DUMPS = Path(__file__).parent / "dumps"
POD_NETWORKS = by_network(["10.244.0.0/16", "fd00:10:244::/48"])
FAMILIES = tuple(Family)

Rules = dict[tuple[str, str], list[str]]
"""Table and chain to rules; those of chains in which the order does not matter are sorted."""

_UNORDERED = {
    ("nat", "KUBE-SERVICES"),
    ("nat", "KUBE-NODEPORTS"),
    ("filter", "KUBE-SERVICES"),
    ("filter", "KUBE-EXTERNAL-SERVICES"),
    ("filter", "KUBE-PROXY-FIREWALL"),
    ("filter", "KUBE-NODEPORTS"),
}
_COMMENT = re.compile(r' -m comment --comment (?:"[^"]*"|[^" ]+)')


def tools_of(variant: Variant, lock_wait: int = 5) -> dict[Family, Tool]:
    return {family: Tool(family, variant, infix=f"-{variant.value}", lock_wait=lock_wait) for family in FAMILIES}


def backend(tools: Mapping[Family, Tool], **options: object) -> IptablesBackend:
    made = IptablesBackend(FAMILIES, IptablesOptions(**options), tools)  # type: ignore[arg-type]
    made.set_local_traffic(POD_NETWORKS)
    return made


tracker_of = functools.partial(builders.tracker_of, node="node")


def manifest(name: str) -> list[KubeObject]:
    """The objects of a recorded scenario."""
    path = DUMPS / f"{name}.yaml"
    found = parse_manifest(path, path.read_text(encoding="utf-8"))
    assert not found.problems
    return list(found.objects.values())


def recorded(name: str) -> dict[str, Rules]:
    """What kube-proxy left in the kernel, by the command that read it."""
    parts = (DUMPS / f"{name}.txt").read_text(encoding="utf-8").split("### ")[1:]
    return {part.splitlines()[0]: normalised(parse(part.encode())) for part in parts}


def normalised(saved: Saved, *, comments: bool = True) -> Rules:
    """Rules without what iptables-save adds; NodePorts' jump must stay the last of KUBE-SERVICES."""
    found: Rules = {}
    for table, chains in saved.tables.items():
        for chain, lines in chains.items():
            rules = [line.decode() if comments else _COMMENT.sub("", line.decode()) for line in lines]
            key = (table, chain.decode())
            if key == ("nat", "KUBE-SERVICES") and rules:
                assert "KUBE-NODEPORTS" in rules[-1]
            found[key] = sorted(rules) if key in _UNORDERED else rules
    return found


def kernel_rules(tools: Mapping[Family, Tool], *, comments: bool = True) -> dict[Family, Rules]:
    return {family: normalised(tool.save_blocking(), comments=comments) for family, tool in tools.items()}


async def remove_all(tools: Mapping[Family, Tool]) -> None:
    for tool in tools.values():
        made = cleanup_input(await tool.save())
        if made:
            await tool.restore(made.to_bytes())


def written(outcomes: list[Outcome]) -> int:
    assert not any(outcome.refused for outcome in outcomes), outcomes
    return sum(outcome.objects for outcome in outcomes)
