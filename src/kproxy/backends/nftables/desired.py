"""What one family's table should hold, kept up to date one Service at a time."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from kproxy.backends.nftables.balancers import Balancer
from kproxy.backends.nftables.compile import Compiled, compile_service
from kproxy.backends.nftables.delta import Delta, differences, split
from kproxy.backends.nftables.ruleset import DESTINATIONS
from kproxy.backends.nftables.sets import SetName, StickyTimeout, declaration, declarations
from kproxy.services.addresses import Address, Family
from kproxy.services.model import ServiceName, ServicePort

_BALANCED: set[str] = {kind.ports for kind in DESTINATIONS}
"""Maps whose data is the identifier of a balancer."""
_SHARED: set[str] = {d.name for d in declarations(Family.IPV4) if d.shared}
_COUNTED = _SHARED | _BALANCED
_SLOTTED: set[str] = {name for kind in DESTINATIONS for name in (kind.endpoints, kind.picks)}
"""Maps with numbered slots."""
_TIMEOUTS = (f"{SetName.STICKY_SERVICES.value}-", f"{SetName.STICKY_NODEPORTS.value}-")
"""What the names of timeouts' sets begin with."""


class DesiredTable:
    """The records that every Service needs, compiled, and what follows from all of them together."""

    def __init__(self, family: Family) -> None:
        self.family = family
        self.node_ip: Address | None = None
        self.compiled: dict[ServiceName, Compiled] = {}
        self._uses: dict[str, Counter[bytes]] = {name: Counter() for name in _SHARED}
        self._balancers: Counter[bytes] = Counter()
        """How many ports use each balancer, by its encoded identifier."""
        self._timeouts: Counter[str] = Counter()
        """How many destinations are in the set of each timeout."""
        self._node_port_ips: set[Address] = set()
        self._adopted: dict[str, dict[bytes, list[bytes]]] = {}

    # ------------------------------------------------------------------ changes

    def put(self, name: ServiceName, ports: Sequence[ServicePort], delta: Delta | None) -> None:
        """Set what a Service needs (nothing, when it has no ports) and add the difference to the delta.

        Without a delta, only `everything` is kept up to date: for loading many Services before a full sync.
        """
        old = self.compiled.get(name, ())
        new = compile_service(ports, self._slots(old), self.node_ip)
        if new:
            self.compiled[name] = new
        else:
            self.compiled.pop(name, None)
        for set_name, had, needs in differences(old, new) if old else ((name, b"", records) for name, records in new):
            if delta is None and set_name not in _COUNTED and not set_name.startswith(_TIMEOUTS):
                continue
            size = declaration(self.family, set_name).layout.record
            gone, come = _exclusive(had, needs, size)
            self._change(set_name, gone, come, Delta() if delta is None else delta)

    def _change(self, name: str, gone: Sequence[bytes], come: Sequence[bytes], delta: Delta) -> None:
        if name in _SHARED:
            gone, come = self._count(name, gone, come)
        elif name in _BALANCED:
            self._balancers.update(record[-4:] for record in come)
            self._balancers.subtract(record[-4:] for record in gone)
            for record in gone:
                if not self._balancers[record[-4:]]:
                    del self._balancers[record[-4:]]
        elif name.startswith(_TIMEOUTS):
            self._timeouts[name] += len(come) - len(gone)
            if not self._timeouts[name]:
                del self._timeouts[name]
        delta.delete(name, gone)
        delta.add(name, come)

    def _count(
        self, name: str, gone: Iterable[bytes], come: Iterable[bytes]
    ) -> tuple[Sequence[bytes], Sequence[bytes]]:
        """Of shared records, those that nobody needs any more, and those that nobody needed before."""
        uses = self._uses[name]
        last, first = [], []
        for record in come:
            uses[record] += 1
            if uses[record] == 1:
                first.append(record)
        for record in gone:
            uses[record] -= 1
            if not uses[record]:
                del uses[record]
                last.append(record)
        return last, first

    def put_node_port_ips(self, addresses: set[Address], delta: Delta) -> None:
        """Set the node's addresses on which NodePorts answer."""
        delta.delete(SetName.NODEPORT_IPS, sorted(self._node_port_ips - addresses))
        delta.add(SetName.NODEPORT_IPS, sorted(addresses - self._node_port_ips))
        self._node_port_ips = set(addresses)

    def fenced(self) -> set[ServiceName]:
        """The Services with source ranges; looks at all Services, for what happens once in a node's life."""
        return {
            name
            for name, compiled in self.compiled.items()
            if any(set_name == SetName.FIREWALLED_SERVICES for set_name, _ in compiled)
        }

    # ------------------------------------------------------------------ slots

    def adopt(self, records: dict[str, bytes]) -> None:
        """Learn which endpoint has which slot in the kernel, before the first `put`, so that each keeps it."""
        self._adopted = {name: self._slots_by_destination(name, records.get(name, b"")) for name in _SLOTTED}

    def forget_adopted(self) -> None:
        self._adopted = {}

    def _slots(self, old: Compiled) -> "_CurrentSlots":
        source = self._adopted
        if not source and old:
            source = {name: self._slots_by_destination(name, records) for name, records in old if name in _SLOTTED}
        return _CurrentSlots(source)

    def _slots_by_destination(self, name: str, records: bytes) -> dict[bytes, list[bytes]]:
        """Each destination's endpoints by slot. Records may come in any order, as the kernel hashes them."""
        layout = declaration(self.family, name).layout
        destination = layout.key - 4
        found: dict[bytes, dict[int, bytes]] = {}
        for record in split(records, layout.record):
            number = int.from_bytes(record[destination : layout.key], sys.byteorder)
            found.setdefault(record[:destination], {})[number] = record[layout.key :]
        return {key: [slots[i] for i in sorted(slots)] for key, slots in found.items()}

    # ------------------------------------------------------------------ the whole

    def balancers(self) -> set[Balancer]:
        """Every balancer that some port uses."""
        decoded = (Balancer.decode(encoded) for encoded, uses in self._balancers.items() if uses)
        return {balancer for balancer in decoded if balancer}

    def timeouts(self) -> set[StickyTimeout]:
        """Every timeout of session affinity that some destination has."""
        parsed = (StickyTimeout.parse(name) for name, uses in self._timeouts.items() if uses)
        return {timeout for timeout in parsed if timeout}

    def everything(self) -> Iterator[tuple[str, bytes]]:
        """All records of all sets but the balancers' own, joined."""
        by_set: dict[str, list[bytes]] = {}
        for compiled in self.compiled.values():
            for name, records in compiled:
                if name not in _SHARED:
                    by_set.setdefault(name, []).append(records)
        for name, uses in self._uses.items():
            by_set[name] = list(uses)
        by_set[SetName.NODEPORT_IPS] = list(self._node_port_ips)
        for name, parts in by_set.items():
            yield name, b"".join(parts)

    def owner(self, name: str, key: bytes) -> ServiceName | None:
        """The Service that needs the element with this key; searches all, for error messages."""
        size = declaration(self.family, name).layout.record
        for service, compiled in self.compiled.items():
            for set_name, records in compiled:
                if set_name is name and any(record.startswith(key) for record in split(records, size)):
                    return service
        return None


def _exclusive(had: bytes, needs: bytes, size: int) -> tuple[list[bytes], list[bytes]]:
    """The records that only the first has, and those that only the second has."""
    before, after = dict.fromkeys(split(had, size)), dict.fromkeys(split(needs, size))
    return [r for r in before if r not in after], [r for r in after if r not in before]


class _CurrentSlots:
    """Looks up a destination's present slots."""

    def __init__(self, source: dict[str, dict[bytes, list[bytes]]]) -> None:
        self._source = source

    def __call__(self, name: str, key: bytes) -> Sequence[bytes]:
        return self._source.get(name, {}).get(key, ())
