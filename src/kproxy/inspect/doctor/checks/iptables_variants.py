"""Do all programs of the node use one variant of iptables?"""

from collections.abc import Iterator

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables.saved import jump_target
from kproxy.backends.iptables.tool import Variant
from kproxy.backends.iptables.variants import every_tool
from kproxy.inspect.doctor.finding import Finding, Severity, shell
from kproxy.inspect.doctor.view import NodeView
from kproxy.services.addresses import Family

_COMMANDS = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}


def mixed(view: NodeView) -> Iterator[Finding]:
    """Both variants hold rules: each is blind to the other's, and both take effect."""
    try:
        tools = every_tool()
    except BackendError:
        return
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
    fewer = min(Variant, key=lambda variant: kube[variant])
    kept = next(variant for variant in Variant if variant is not fewer)
    if kube[fewer]:
        fixes = _flush(fewer) if not others[fewer] else _choose(kept)
        yield _finding(view, Severity.CRITICAL, counts, fixes)
    elif kube[kept] and others[fewer]:
        yield _finding(view, Severity.WARNING, counts, _choose(kept))


def _finding(view: NodeView, severity: Severity, counts: list[str], fixes: tuple[str, ...]) -> Finding:
    return Finding(
        check="iptables-variants",
        severity=severity,
        subject=f"node {view.node}",
        evidence=tuple(counts),
        cause="iptables-legacy and iptables-nft keep separate rules: packets must pass both, and each shows its own.",
        fixes=fixes,
    )


def _flush(variant: Variant) -> tuple[str, ...]:
    """Empty the variant that holds nobody else's rules."""
    return tuple(
        shell(f"{_COMMANDS[family]}-{variant.value}", "-t", table, flag)
        for family in Family
        for table in ("nat", "filter", "mangle")
        for flag in ("-F", "-X")
    )


def _choose(variant: Variant) -> tuple[str, ...]:
    """Have every program use one variant from its next start on."""
    return tuple(
        shell("update-alternatives", "--set", name, f"/usr/sbin/{name}-{variant.value}") for name in _COMMANDS.values()
    )
