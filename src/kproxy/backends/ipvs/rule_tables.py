"""The fixed rules in the kernel: written when they are not there, and left alone when they are."""

from kproxy.backends.iptables.saved import Saved, SavedTable, jump_target
from kproxy.backends.iptables.tool import Tool
from kproxy.backends.ipvs.rules import FILTER, JUMPS, NAT, FixedRules


def missing(rules: FixedRules, saved: dict[str, Saved]) -> bytes:
    """What iptables-restore must do to get from what is saved, by table, to the rules; empty when nothing."""
    parts: list[str] = []
    for table, chains in rules.tables().items():
        present = saved[table].table(table)
        wrong = {
            chain: wanted
            for chain, wanted in chains.items()
            if present.get(chain.encode()) != [f"-A {chain} {rule}".encode() for rule in wanted]
        }
        jumps = [f"-I {chain} {rule}" for chain, rule in reversed(JUMPS[table]) if not _has(present, chain, rule)]
        if wrong or jumps:
            parts.append(f"*{table}")
            parts += [f":{chain} - [0:0]" for chain in wrong]
            parts += [f"-A {chain} {rule}" for chain, wanted in wrong.items() for rule in wanted]
            parts += [*jumps, "COMMIT"]
    return ("\n".join(parts) + "\n").encode() if parts else b""


def written(commands: bytes) -> dict[str, int]:
    """How many rules commands write, by table."""
    counts: dict[str, int] = {}
    table = ""
    for line in commands.decode().splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(("-A ", "-I ")):
            counts[table] = counts.get(table, 0) + 1
    return counts


def removal(saved: dict[str, Saved], chains: dict[str, list[str]]) -> bytes:
    """What iptables-restore must do to take chains, and the jumps into them, out of the tables."""
    parts: list[str] = []
    for table, names in chains.items():
        present = saved[table].table(table)
        there = [name for name in names if name.encode() in present]
        jumps = [
            f"-D {chain} {rule}"
            for chain, rule in JUMPS[table]
            if jump_target(rule.encode()).decode() in names and _has(present, chain, rule)
        ]
        if there or jumps:
            parts += [f"*{table}", *(f":{name} - [0:0]" for name in there), *jumps]
            parts += [*(f"-X {name}" for name in there), "COMMIT"]
    return ("\n".join(parts) + "\n").encode() if parts else b""


async def read(tool: Tool) -> dict[str, Saved]:
    """Read the tables that the rules are in.

    Raises:
        ProcessError: iptables-save failed
    """
    return {table: await tool.save(table) for table in (NAT, FILTER)}


def _has(present: SavedTable, chain: str, rule: str) -> bool:
    return f"-A {chain} {rule}".encode() in present.get(chain.encode(), [])
