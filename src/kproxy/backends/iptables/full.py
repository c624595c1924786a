"""The restore input that makes what the kernel has into what it should have, from a reading of the kernel."""

from collections.abc import Iterable

from kproxy.backends.iptables.compile import NAT, Shared
from kproxy.backends.iptables.desired import DesiredRules, chains_of
from kproxy.backends.iptables.names import PER_SERVICE
from kproxy.backends.iptables.restore_input import RestoreInput, TableInput, insertions, with_line_ends
from kproxy.backends.iptables.saved import Saved, SavedTable, jump_target
from kproxy.backends.iptables.skeleton import fixed_chains, jumps, to_node_ports
from kproxy.services.model import ServiceName

_PER_SERVICE = tuple(prefix.encode() for prefix in PER_SERVICE)


def full_input(desired: DesiredRules, saved: Saved) -> RestoreInput:
    """Compare everything; the input is empty when nothing differs."""
    made = RestoreInput()
    _fixed_chains(desired, saved, made)
    _shared_chains(desired, saved, made)
    nat, table = saved.table(NAT), made.tables[NAT]
    if any(chain.startswith(_PER_SERVICE) for chain in nat):
        known = _service_chains(desired, nat, table)
        _delete_stale(nat, known, table)
    else:
        for compiled in desired.compiled.values():
            table.declarations.append(compiled.chains)
            table.rules.append(compiled.rules)
    _jumps(desired, saved, made)
    return made


def _fixed_chains(desired: DesiredRules, saved: Saved, made: RestoreInput) -> None:
    for (table, chain), rules in fixed_chains(desired.options).items():
        wanted = [rule.encode() for rule in rules]
        if saved.table(table).get(chain.encode()) != wanted:
            made.tables[table].declare(chain.encode())
            made.tables[table].rules += with_line_ends(wanted)


def _shared_chains(desired: DesiredRules, saved: Saved, made: RestoreInput) -> None:
    for shared in Shared:
        blocks = desired.shared(shared)
        last = [rule.encode() for rule in to_node_ports(desired.options)] if shared is Shared.NAT_SERVICES else []
        have = saved.table(shared.table).get(shared.chain.encode())
        if have is None or not _same_rules(have, blocks, last):
            table = made.tables[shared.table]
            table.declare(shared.chain.encode())
            table.rules += blocks
            table.rules += with_line_ends(last)


def _same_rules(have: list[bytes], blocks: list[bytes], last: list[bytes]) -> bool:
    """Whether a chain has these rules, in whatever order but for the last ones."""
    split = len(have) - len(last)
    return split >= 0 and have[split:] == last and sorted(have[:split]) == sorted(b"".join(blocks).splitlines())


def _service_chains(desired: DesiredRules, nat: SavedTable, table: TableInput) -> set[bytes]:
    """Write the chains of single Services that differ; returns the names of all of them."""
    known: set[bytes] = set()
    for compiled in desired.compiled.values():
        for chain, rules in chains_of(compiled):
            known.add(chain)
            if not _holds(nat, chain, rules):
                table.declare(chain)
                table.rules.append(rules)
    return known


def _holds(nat: SavedTable, chain: bytes, rules: bytes) -> bool:
    have = nat.get(chain)
    return have is not None and b"".join(with_line_ends(have)) == rules


def missing_services(desired: DesiredRules, saved: Saved) -> list[ServiceName]:
    """The Services that the kernel does not hold completely."""
    nat = saved.table(NAT)
    shared = [frozenset(saved.table(chain.table).get(chain.chain.encode(), ())) for chain in Shared]
    return [
        name
        for name, compiled in desired.compiled.items()
        if not all(_holds(nat, chain, rules) for chain, rules in chains_of(compiled))
        or not all(have.issuperset(block.splitlines()) for have, block in zip(shared, compiled.shared, strict=True))
    ]


def _delete_stale(nat: SavedTable, known: set[bytes], table: TableInput) -> None:
    """Delete the chains of Services that are gone, except where somebody else's rule jumps to one."""
    stale = [chain for chain in nat if chain.startswith(_PER_SERVICE) and chain not in known]
    if not stale:
        return
    foreign = (chain for chain in nat if not chain.startswith(b"KUBE-"))
    in_use = _targets(rule for chain in foreign for rule in nat[chain])
    for chain in stale:
        if chain in in_use:
            if nat[chain]:
                table.declare(chain)
        else:
            table.delete_chain(chain)


def _targets(rules: Iterable[bytes]) -> set[bytes]:
    return {jump_target(rule) for rule in rules}


def _jumps(desired: DesiredRules, saved: Saved, made: RestoreInput) -> None:
    missing: dict[tuple[str, str], list[bytes]] = {}
    for jump in jumps(desired.options):
        line = jump.line.encode()
        if line not in saved.table(jump.table).get(jump.source.encode(), ()):
            missing.setdefault((jump.table, jump.source), []).append(line)
    for (table, _), lines in missing.items():
        made.tables[table].edits += insertions(lines)
