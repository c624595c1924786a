"""Which of the two variants of the iptables programs this node uses.

A rule made with one is invisible to the other, and both sets take effect: mixing them on a node confuses
everybody. So the proxy uses the one that is in use already, as distributions' wrapper scripts do.
"""

import logging
import re
from collections.abc import Collection

from kproxy.backends.interface import BackendError
from kproxy.backends.iptables.compile import MANGLE
from kproxy.backends.iptables.names import CANARY, KUBELET_CANARY, KUBELET_HINT
from kproxy.backends.iptables.saved import Saved
from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.kernel.ip_tables import legacy_tables
from kproxy.kernel.processes import ProcessError, run_blocking
from kproxy.services.addresses import Family

log = logging.getLogger(__name__)

_MIN_VERSION = (1, 6, 2)
"""The first whose iptables-restore waits for the lock, and which knows --random-fully."""
_VERSION = re.compile(rb"v(\d+)\.(\d+)\.(\d+)(?: \((\w+)\))?")
_HINTS = ({KUBELET_HINT, KUBELET_CANARY}, {CANARY})
"""Chains in the mangle table that tell which variant is in use: the kubelet's word counts before a proxy's."""


class NotInstalledError(BackendError):
    """A variant's programs are missing, or too old to be used."""


def choose(families: Collection[Family]) -> dict[Family, Tool]:
    """Find the variant that this node uses; returns the programs of each family that works.

    It is the one in which a kubelet left its hint, or else a kube-proxy its canary, or else the one with more
    rules; on a node without rules, the distribution's default.

    Raises:
        BackendError: no family works: the programs are missing or too old, or the kernel refuses them
    """
    installed, failures = _installed(families)
    if not installed:
        raise failures[0]
    variant = _in_use(installed)
    working: dict[Family, Tool] = {}
    problems = []
    for family, tool in installed[variant].items():
        try:
            tool.save_blocking(MANGLE)
        except ProcessError as error:
            problems.append(str(error))
        else:
            working[family] = tool
    if not working:
        raise BackendError(
            f"iptables does not work here (run as root, or with the capability NET_ADMIN): {'; '.join(problems)}"
        )
    for problem in problems:
        log.warning("Going without one IP family: %s", problem)
    return working


def every_tool(families: Collection[Family] = tuple(Family)) -> list[Tool]:
    """The programs of all variants that are installed and have any tables, for cleaning up.

    Raises:
        BackendError: programs are installed but do not run, so that nobody knows what they hold
    """
    installed, failures = _installed(families)
    for failure in failures:
        if not isinstance(failure, NotInstalledError):
            raise failure
    return [tool for tools in installed.values() for tool in tools.values() if _has_tables(tool)]


def _installed(families: Collection[Family]) -> tuple[dict[Variant, dict[Family, Tool]], list[BackendError]]:
    """The programs, the default variant first; and what came of asking the others."""
    found: dict[Variant, dict[Family, Tool]] = {}
    failures = []
    for infix in ("", "-nft", "-legacy"):
        try:
            variant = _variant(f"iptables{infix}")
        except BackendError as error:
            failures.append(error)
        else:
            found.setdefault(variant, {family: Tool(family, variant, infix=infix) for family in families})
    return found, failures


def _variant(command: str) -> Variant:
    """Ask a program which variant it is.

    Raises:
        NotInstalledError: it is missing or too old
        BackendError: it does not run
    """
    try:
        answer = run_blocking([command, "--version"], time_limit=10)
    except ProcessError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise NotInstalledError(f"iptables mode needs the iptables package: {error}") from error
        raise BackendError(str(error)) from error
    match = _VERSION.search(answer)
    if match is None or tuple(map(int, match.group(1, 2, 3))) < _MIN_VERSION:
        needed = ".".join(map(str, _MIN_VERSION))
        raise NotInstalledError(
            f"iptables mode needs iptables {needed} or newer: {command} is {answer.decode().strip()}"
        )
    return Variant.NFT if match.group(4) == b"nf_tables" else Variant.LEGACY


def _in_use(installed: dict[Variant, dict[Family, Tool]]) -> Variant:
    default = next(iter(installed))
    if len(installed) == 1:
        return default
    chains = {
        variant: {chain for tool in tools.values() for chain in _saved(tool, MANGLE).table(MANGLE)}
        for variant, tools in installed.items()
    }
    for hints in _HINTS:
        for variant, names in chains.items():
            if names & {hint.encode() for hint in hints}:
                return variant
    rules = {variant: sum(_count(tool) for tool in tools.values()) for variant, tools in installed.items()}
    # The first of equals: the default.
    return max(rules, key=lambda variant: rules[variant])


def _count(tool: Tool) -> int:
    saved = _saved(tool, "")
    return sum(saved.rules(table) for table in saved.tables)


def _saved(tool: Tool, table: str) -> Saved:
    """What a variant holds; nothing where it does not work. Makes no legacy table that was not there."""
    try:
        return tool.save_blocking(table) if _has_tables(tool, table) else Saved({})
    except ProcessError as error:
        log.debug("%s: %s", tool, error)
        return Saved({})


def _has_tables(tool: Tool, table: str = "") -> bool:
    """Whether a table exists, or any at all."""
    if tool.variant is Variant.NFT:
        return True
    names = legacy_tables(tool.family)
    return table in names if table else bool(names)
