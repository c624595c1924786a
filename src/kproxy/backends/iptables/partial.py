"""The restore input for a change: the chains that differ, and single edits of the chains that all Services share."""

from collections.abc import Collection

from kproxy.backends.iptables.compile import NAT, Compiled, Shared
from kproxy.backends.iptables.desired import Change, DesiredRules, chains_of
from kproxy.backends.iptables.restore_input import RestoreInput, deletions, insertions, with_line_ends
from kproxy.backends.iptables.skeleton import to_node_ports

_MAX_DELETIONS = 64
"""More deletions than this cost more than to write a shared chain anew, however long it is: each one searches the chain
from its beginning (iptables-nft 1.8.9: 0.4 µs a rule), while to add a rule takes 38 µs. Insertions cost the same
either way."""


class PartialChange:
    """Collects the differences of any number of Services, and of the addresses that NodePorts answer on."""

    def __init__(self, desired: DesiredRules) -> None:
        self._desired = desired
        self._input = RestoreInput()
        self._removed: dict[Shared, list[bytes]] = {}
        self._added: dict[Shared, list[bytes]] = {}
        self._last_before = self._last = [line.encode() for line in to_node_ports(desired.options)]

    def service(self, change: Change) -> None:
        """Add what differs between two versions of a Service."""
        _, old, new = change
        if old == new:
            return
        if (old.chains, old.rules) != (new.chains, new.rules):
            self._own_chains(old, new)
        for shared in Shared:
            had, needs = old.shared[shared], new.shared[shared]
            if had != needs:
                # All of a Service's rules together, for their order matters where two are for one address.
                self._removed.setdefault(shared, []).extend(had.splitlines())
                self._added.setdefault(shared, []).extend(needs.splitlines())

    def _own_chains(self, old: Compiled, new: Compiled) -> None:
        nat = self._input.tables[NAT]
        before, after = dict(chains_of(old)), dict(chains_of(new))
        for chain, rules in after.items():
            if before.get(chain) != rules:
                nat.declare(chain)
                nat.rules.append(rules)
        for chain in before.keys() - after.keys():
            nat.delete_chain(chain)

    def node_port_addresses(self, before: Collection[str]) -> None:
        """Add what differs when KUBE-SERVICES used to end with other rules than it should now."""
        self._last_before = [line.encode() for line in before]

    def finish(self) -> RestoreInput:
        """The input; empty when nothing differs."""
        for shared in Shared:
            removed, added = self._removed.get(shared, []), self._added.get(shared, [])
            last_changed = shared is Shared.NAT_SERVICES and self._last != self._last_before
            if not (removed or added or last_changed):
                continue
            table = self._input.tables[shared.table]
            if len(removed) > _MAX_DELETIONS:
                table.declare(shared.chain.encode())
                table.rules += self._desired.shared(shared)
                if shared is Shared.NAT_SERVICES:
                    table.rules += with_line_ends(self._last)
                continue
            table.edits += deletions(removed)
            if shared is not Shared.NAT_SERVICES:
                table.edits += with_line_ends(added)
                continue
            table.edits += insertions(added)
            if last_changed:
                table.edits += deletions(self._last_before)
                table.edits += with_line_ends(self._last)
        return self._input
