"""Do all programs of the node use one variant of iptables?"""

import shutil
from collections.abc import Iterator, Sequence
from itertools import permutations

from kproxy.backends.iptables.saved import jump_target
from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.backends.iptables.variants import choose, every_tool
from kproxy.inspect.doctor.finding import Finding, Severity, shell
from kproxy.inspect.doctor.view import NodeView
from kproxy.services.addresses import Family

_COMMANDS = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}


def mixed(view: NodeView) -> Iterator[Finding]:
    """Both variants hold rules: each is blind to the other's, and both take effect."""
    tools = every_tool()
    kube: dict[Variant, int] = dict.fromkeys(Variant, 0)
    others: dict[Variant, int] = dict.fromkeys(Variant, 0)
    for tool in tools:
        for chains in tool.save_blocking().tables.values():
            for chain, rules in chains.items():
                for rule in rules:
                    mine = chain.startswith(b"KUBE-") or jump_target(rule).startswith(b"KUBE-")
                    (kube if mine else others)[tool.variant] += 1
    counts = [
        f"iptables-{variant.value}: {kube[variant]} rules of kube-proxy and kubelet, {others[variant]} others"
        for variant in Variant
    ]
    if all(kube.values()):
        kept = choose({tool.family for tool in tools})
        variant = next(iter(kept.values())).variant
        yield _finding(
            view,
            Severity.CRITICAL,
            (
                *counts,
                f"iptables-{variant.value} is in use here: it has the kubelet's or the proxy's marks, or more rules",
            ),
            tuple(_remove(tool) for tool in tools if tool.variant is not variant),
            "",
        )
        return
    for kept_variant, other in permutations(Variant):
        if kube[kept_variant] and others[other]:
            yield _finding(view, Severity.WARNING, counts, _choose(kept_variant), _RESTART)


_RESTART = "Then restart the programs whose rules the others are; what they leave is gone after the node's next boot."


def _finding(view: NodeView, severity: Severity, counts: Sequence[str], fixes: tuple[str, ...], advice: str) -> Finding:
    return Finding(
        check="iptables-variants",
        severity=severity,
        subject=f"node {view.node}",
        evidence=tuple(counts),
        cause="iptables-legacy and iptables-nft keep separate rules: packets must pass both, and each shows its own.",
        fixes=fixes,
        look=tuple(shell(f"iptables-{variant.value}-save") for variant in Variant),
        advice=advice,
    )


def _remove(tool: Tool) -> str:
    """The command that takes a proxy's and the kubelet's rules and chains out of a variant, and leaves others'."""
    command = f"{_COMMANDS[tool.family]}-{tool.variant.value}"
    return shell("sh", "-c", f"{command}-save -c | grep -v KUBE- | {command}-restore -c")


def _choose(variant: Variant) -> tuple[str, ...]:
    """Have every program use one variant from its next start on, where the distribution offers the choice."""
    if shutil.which("update-alternatives") is None:
        return ()
    return tuple(
        shell("update-alternatives", "--set", name, path)
        for name in _COMMANDS.values()
        if (path := shutil.which(f"{name}-{variant.value}")) is not None
    )
