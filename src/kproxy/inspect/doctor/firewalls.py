"""What other programs' firewalls do with forwarded packets of pods, in iptables (both variants) and nftables.

A packet passes when every base chain of the hook accepts it. A chain blocks pods when it drops what no rule decides
(by its policy, or by a last rule without conditions) and no rule before accepts the pods' networks.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables.saved import SavedTable, jump_target
from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.backends.iptables.variants import every_tool
from kproxy.inspect.doctor.base_chains import BaseChain, base_chains
from kproxy.kernel.processes import ProcessError, run_blocking
from kproxy.services.addresses import Family, Network, parse_network

_FILTER, _FORWARD = "filter", b"FORWARD"
_TIMEOUT = 10.0
_DEEPEST = 8
_ENDS = {b"DROP", b"REJECT"}
_PROXY_TABLES = {"kube-proxy"}


class Blocker(NamedTuple):
    """A chain that drops forwarded packets which no rule of it accepts."""

    family: Family
    chain: str
    """As its own tool names it."""
    how: str
    """Its policy, or its last rule."""
    program: str
    """Who made it: `docker`, `ufw`, `firewalld`, or `iptables`, `nftables` when it does not tell."""
    variant: Variant | None
    """Of iptables' programs; None for a chain of nftables' own."""
    place: tuple[str, ...]
    """The arguments that lead to the chain: `FORWARD`, or family, table and chain."""


class NetworkRule(NamedTuple):
    """Part of an accepting rule: a network on one side."""

    direction: str
    network: Network


def blockers(pods: Sequence[Network]) -> list[Blocker]:
    """The chains on the way of forwarded packets that do not let pods' packets pass.

    Args:
        pods: the pods' networks; a rule that accepts one of them, from and to, lets them pass

    Raises:
        OSError: the kernel does not show its rules (EPERM)
        ProcessError: nor do the programs
    """
    try:
        tools = every_tool()
    except BackendError:
        tools = []
    found = [blocker for tool in tools if (blocker := _iptables(tool, pods))]
    by_tools = {(f"ip{'' if family is Family.IPV4 else '6'}", _FILTER, "FORWARD") for family in Family}
    for chain in base_chains():
        if chain.hook != "forward" or chain.type != "filter" or chain.table in _PROXY_TABLES:
            continue
        if (chain.family, chain.table, chain.name) in by_tools and tools:
            continue
        found += _nftables(chain, pods)
    return found


# ---------------------------------------------------------------------- iptables


def _iptables(tool: Tool, pods: Sequence[Network]) -> Blocker | None:
    infix = f"-{tool.variant.value}"
    command = ("iptables" if tool.family is Family.IPV4 else "ip6tables") + infix
    chains = tool.save_blocking(_FILTER).table(_FILTER)
    if _FORWARD not in chains:
        return None
    policy = _policy(command)
    last = chains[_FORWARD][-1] if chains[_FORWARD] else b""
    if policy == "DROP":
        how = f"{command} -P FORWARD is DROP"
    elif jump_target(last) in _ENDS and _is_unconditional(last):
        how = f"{command}: the last rule is {last.decode(errors='replace')}"
    else:
        return None
    mine = [network for network in pods if len(network.address) == tool.family.length]
    accepted = set(_accepted(chains, _FORWARD, _DEEPEST))
    if None in accepted or _covers(accepted, mine):
        return None
    return Blocker(tool.family, f"{command} FORWARD", how, _program(chains), tool.variant, ("FORWARD",))


def _policy(command: str) -> str:
    """The policy of FORWARD, which iptables-save shows, and the parser of rules leaves out."""
    answer = run_blocking([command, "-S", "FORWARD"], time_limit=_TIMEOUT).decode(errors="replace")
    first = answer.splitlines()[0].split() if answer else []
    return first[2] if first[:2] == ["-P", "FORWARD"] else ""


def _program(chains: SavedTable) -> str:
    names = b" ".join(chains)
    if b"DOCKER-USER" in names or b"DOCKER-FORWARD" in names:
        return "docker"
    return "ufw" if b"ufw-" in names else "iptables"


def _accepted(chains: SavedTable, chain: bytes, depth: int) -> Iterator[NetworkRule | None]:
    """What the rules of a chain, and of those that it calls, accept: networks, or None for everything."""
    if not depth:
        return
    for line in chains.get(chain, ()):
        target = jump_target(line)
        if target == b"ACCEPT":
            if _is_unconditional(line):
                yield None
            yield from _networks(line)
        elif target in chains and _is_unconditional(line):
            yield from _accepted(chains, target, depth - 1)


def _is_unconditional(line: bytes) -> bool:
    """Nothing but a chain, comments and a target (with its options)."""
    words = line.split(b" -j ")[0].split(b" -g ")[0].split(b" -m comment --comment ")[0].split()
    return len(words) == 2


def _networks(line: bytes) -> Iterator[NetworkRule]:
    """The networks of a rule that has no other condition."""
    words = line.decode(errors="replace").split(" -j ")[0].split(" -m comment --comment ")[0].split()[2:]
    if len(words) == 2 and words[0] in ("-s", "-d") and (network := parse_network(words[1])) is not None:
        yield NetworkRule(words[0], network)


def _covers(accepted: set[NetworkRule | None], pods: Sequence[Network]) -> bool:
    """Packets from and to every network of pods are accepted."""

    def has(direction: str, pod: Network) -> bool:
        return any(rule is not None and rule.direction == direction and _within(pod, rule.network) for rule in accepted)

    return bool(pods) and all(has("-s", pod) and has("-d", pod) for pod in pods)


def _within(inner: Network, outer: Network) -> bool:
    return inner.prefix_length >= outer.prefix_length and inner.address in outer


# ---------------------------------------------------------------------- nftables


def _nftables(chain: BaseChain, pods: Sequence[Network]) -> Iterator[Blocker]:
    try:
        answer = run_blocking(
            ["nft", "-j", "list", "chain", chain.family, chain.table, chain.name], time_limit=_TIMEOUT
        )
        document = json.loads(answer)
    except (ProcessError, ValueError):
        document = {}  # without nft, the policy alone tells
    expressions = [item["rule"].get("expr", []) for item in document.get("nftables", []) if "rule" in item]
    last = expressions[-1] if expressions else []
    ends = len([part for part in last if "counter" not in part]) == 1 and any(
        key in part for part in last for key in ("drop", "reject")
    )
    if not (chain.drops or ends):
        return
    how = f"the policy of chain {chain} is drop" if chain.drops else f"the last rule of chain {chain} drops or rejects"
    accepted = {rule for expression in expressions for rule in _accepted_by(expression)}
    if None in accepted:
        return
    for version in chain.ip_versions:
        family = Family.IPV4 if version == 4 else Family.IPV6
        mine = [network for network in pods if len(network.address) == family.length]
        if mine and not _covers(accepted, mine):
            program = "firewalld" if chain.table == "firewalld" else "nftables"
            yield Blocker(family, str(chain), how, program, None, (chain.family, chain.table, chain.name))


def _accepted_by(expression: list[dict[str, Any]]) -> Iterator[NetworkRule | None]:
    """What a rule accepts, as nft's JSON has it (libnftables-json(5))."""
    parts = [part for part in expression if "counter" not in part]
    if not parts or "accept" not in parts[-1]:
        return
    conditions = parts[:-1]
    if not conditions:
        yield None
    if len(conditions) != 1 or "match" not in conditions[0]:
        return
    match = conditions[0]["match"]
    field = match.get("left", {}).get("payload", {}).get("field") if isinstance(match.get("left"), dict) else None
    right = match.get("right")
    prefix = right.get("prefix") if isinstance(right, dict) else None
    if match.get("op") == "==" and field in ("saddr", "daddr") and prefix:
        network = parse_network(f"{prefix.get('addr')}/{prefix.get('len')}")
        if network is not None:
            yield NetworkRule("-s" if field == "saddr" else "-d", network)
