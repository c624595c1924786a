"""Is our table, as the kernel has it, the one we would write?"""

from typing import NamedTuple

from kproxy.backends.nftables.balancers import Balancer
from kproxy.backends.nftables.messages import rules_of, userdata
from kproxy.backends.nftables.ruleset import TABLE, RulesetOptions, Scope, chains, remembering_rule
from kproxy.backends.nftables.sets import SetName, StickyTimeout, declaration, declarations
from kproxy.backends.nftables.statements import NFPROTO
from kproxy.kernel.nftnl.reading import (
    TableContents,
    read_element_lists,
    read_elements,
    read_table,
    read_verdicts,
)
from kproxy.kernel.nftnl.transaction import NftSocket
from kproxy.services.addresses import Family


class TableState(NamedTuple):
    """What of our table exists in the kernel, and is right."""

    balancers: set[Balancer]
    timeouts: set[StickyTimeout]
    records: dict[str, bytes]
    sizes: dict[str, int]
    """How many elements each set may hold; 0: no limit."""


def read(socket: NftSocket, family: Family, options: RulesetOptions) -> TableState | None:
    """Read our table; None when it does not exist or its rules or sets are not ours, so that it must be replaced.

    Raises:
        OSError: EPERM, or EINTR when others keep changing the rule-set
    """
    proto = NFPROTO[family]
    contents = read_table(socket, proto, TABLE)
    if contents is None or not _is_ours(contents, family, options):
        return None
    balancers = _balancers(contents, read_verdicts(socket, proto, TABLE, SetName.BALANCERS), family, options)
    if balancers is None:
        return None
    timeouts = {timeout for name in contents.sets if (timeout := StickyTimeout.parse(name))}
    records = {}
    for name in contents.sets:
        set_ = declaration(family, name)
        if set_.is_verdict_map or set_.learned:
            continue
        found = read_elements(socket, proto, TABLE, set_.name, set_.layout)
        if found is None:
            return None
        records[set_.name] = found
    return TableState(balancers, timeouts, records, contents.sizes)


def read_learned(socket: NftSocket, family: Family) -> dict[str, list[bytes]]:
    """What the packet path has learned in a table that is to be replaced; nothing where its sets are not like ours.

    Raises:
        OSError: EPERM, or EINTR when others keep changing the rule-set
    """
    proto = NFPROTO[family]
    contents = read_table(socket, proto, TABLE)
    if contents is None:
        return {}
    learned = [s for s in declarations(family) if s.learned and contents.sets.get(s.name) == s.attributes]
    return {set_.name: read_element_lists(socket, proto, TABLE, set_.name) for set_ in learned}


def _is_ours(contents: TableContents, family: Family, options: RulesetOptions) -> bool:
    declared = {set_.name: set_.attributes for set_ in declarations(family)}
    timeouts = [timeout for name in contents.sets if (timeout := StickyTimeout.parse(name))]
    declared |= {timeout.name: declaration(family, timeout.name).attributes for timeout in timeouts}
    if contents.sets != declared:
        return False
    remembered = {userdata(remembering_rule(timeout, family)) for timeout in timeouts}
    found = [rule for scope in Scope for rule in contents.rules.get(f"{scope.value}-remember", ())]
    if len(found) != len(remembered) or set(found) != remembered:
        return False
    for chain in chains(family, options):
        if chain.name not in contents.chains or contents.chains[chain.name] != chain.hook:
            return False
        if chain.rules and contents.rules[chain.name] != [userdata(rule) for rule in chain.rules]:
            return False
    return True


def _balancers(
    contents: TableContents, verdicts: dict[bytes, str], family: Family, options: RulesetOptions
) -> set[Balancer] | None:
    """The balancers that are there; None when there is a chain or verdict that should not be."""
    found = set()
    for encoded, chain in verdicts.items():
        balancer = Balancer.decode(encoded)
        if balancer is None or balancer.chain != chain:
            return None
        if contents.rules[chain] != [userdata(rule) for rule in rules_of(balancer, family, options)]:
            return None
        found.add(balancer)
    fixed = {chain.name for chain in chains(family, options)}
    return found if contents.chains.keys() == fixed | {balancer.chain for balancer in found} else None
