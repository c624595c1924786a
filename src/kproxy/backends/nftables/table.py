"""One family's table in the kernel, and the transactions that keep it as desired."""

import asyncio
from collections.abc import Collection, Iterable, Mapping

from kproxy.backends.interface import Model, Outcome, Refused
from kproxy.backends.nftables import messages, readback
from kproxy.backends.nftables.balancers import Balancer
from kproxy.backends.nftables.delta import Delta, split
from kproxy.backends.nftables.desired import DesiredTable
from kproxy.backends.nftables.messages import ElementRun
from kproxy.backends.nftables.ruleset import RulesetOptions
from kproxy.backends.nftables.sets import StickyTimeout, declaration, declarations
from kproxy.kernel.nftnl.protocol import Message
from kproxy.kernel.nftnl.transaction import Committed, NftSocket, Refusal
from kproxy.services.addresses import Address, Family
from kproxy.services.model import ServiceName

_MAX_UNUSED = 32
"""How many balancers stay although no Service has their number of endpoints now: one may again, soon. And how many
timeouts of session affinity."""

_READINGS = 3
"""How often the table is read again when what was read and what the kernel says differ."""

_SLICE = 500
"""How many Services are compiled in one go, before the event loop gets a turn: some 30 ms."""

_MAX_REFUSALS = 16
"""How many Services in turn may be refused in one full sync before it is given up until the next one."""


class KernelTable:
    """Programs one family. Not for use before the first `sync_all`."""

    def __init__(self, socket: NftSocket, family: Family, options: RulesetOptions) -> None:
        self.family = family
        self.desired = DesiredTable(family)
        self._socket = socket
        self.options = options
        """A change takes effect with the next `sync_all`."""
        self._balancers: set[Balancer] = set()
        """Those in the kernel, used or not."""
        self._timeouts: set[StickyTimeout] = set()
        """As with balancers: those in the kernel, used or not."""
        self._sizes: dict[str, int] = {}
        """How many elements each set in the kernel may hold; 0 or absent: no limit."""
        self._counts: dict[str, int] = {}
        """How many elements each set should have."""
        self._addresses: set[Address] | None = None
        self._loaded = False
        self._refused: set[ServiceName] = set()
        self._outdated: set[ServiceName] = set()

    @property
    def element_counts(self) -> Mapping[str, int]:
        """How many elements each set has, those that the packet path adds left out."""
        return self._counts

    def set_node_port_addresses(self, addresses: Collection[Address]) -> None:
        self._addresses = {a for a in addresses if len(a) == self.family.length}

    def set_node_ip(self, address: Address | None) -> None:
        """Have the Services with source ranges compiled anew, if the node's address is another one than before."""
        if address != self.desired.node_ip:
            self.desired.node_ip = address
            self._outdated |= self.desired.fenced()

    # ------------------------------------------------------------------ a change

    async def sync(self, changed: Iterable[ServiceName], model: Model) -> Outcome:
        """Write the Services that changed.

        Raises:
            OSError: the transaction could not be sent
        """
        delta = Delta()
        outdated, self._outdated = self._outdated, set()
        for name in outdated.union(changed) if outdated else changed:
            self.desired.put(name, model.ports(name, self.family), delta)
            self._refused.discard(name)
        if self._addresses is not None:
            self.desired.put_node_port_ips(self._addresses, delta)
            self._addresses = None
        if self._overflows(delta):
            return await self.sync_all((), model)
        wanted = self.desired.balancers()
        missing, unused = wanted - self._balancers, self._balancers - wanted
        if len(unused) <= _MAX_UNUSED:
            unused = set()
        timeouts = self.desired.timeouts()
        new_timeouts, unused_timeouts = timeouts - self._timeouts, self._timeouts - timeouts
        if len(unused_timeouts) <= _MAX_UNUSED:
            unused_timeouts = set()
        batch = [
            *messages.create_timeouts(self.family, new_timeouts),
            *messages.create_balancers(self.family, self.options, missing),
            *messages.change(self.family, delta),
            *messages.delete_balancers(self.family, unused),
            *messages.delete_timeouts(self.family, unused_timeouts, (self._timeouts | timeouts) - unused_timeouts),
        ]
        result = self._socket.commit(batch)
        if isinstance(result, list):
            # Where the kernel was not as thought, nobody's object is at fault: a full sync will find out.
            return Outcome(self.family, False, 0, 0, (Refused(None, _describe(result)),))
        self._balancers = (self._balancers | missing) - unused
        self._timeouts = (self._timeouts | new_timeouts) - unused_timeouts
        self._count(delta)
        for timeout in unused_timeouts:
            self._counts.pop(timeout.name, None)
        count = len(delta) + len(missing) + len(unused) + len(new_timeouts) + len(unused_timeouts)
        return Outcome(self.family, False, count, result.bytes, ())

    # ------------------------------------------------------------------ everything

    async def sync_all(self, changed: Collection[ServiceName], model: Model) -> Outcome:
        """Read the table back and write the difference, or the whole table where it is not ours.

        A Service that the kernel refuses is left out, so that the others are served; the next call tries it again.
        The event loop goes on meanwhile: with a million endpoints this takes seconds.

        Raises:
            OSError: the kernel could not be asked, or the transaction not sent
        """
        state = await asyncio.to_thread(readback.read, self._socket, self.family, self.options)
        await self._take_in(changed, model, state)
        return await asyncio.to_thread(self._write, state)

    async def _take_in(self, changed: Collection[ServiceName], model: Model, state: readback.TableState | None) -> None:
        """Bring what is desired up to date. What is announced meanwhile is the next sync's."""
        outdated, self._outdated = self._outdated, set()
        if self._loaded:
            names = [*{*changed, *self._refused, *outdated}]
        else:
            names = list(model.names())
            if state:
                self.desired.adopt(state.records)
        for number, name in enumerate(names):
            self.desired.put(name, model.ports(name, self.family), None)
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
        self._refused.clear()
        if not self._loaded:
            self.desired.forget_adopted()
            self._loaded = True
        if self._addresses is not None:
            self.desired.put_node_port_ips(self._addresses, Delta())
            self._addresses = None

    def _write(self, state: readback.TableState | None) -> Outcome:
        """Commit what the kernel lacks of what is desired. Runs beside the event loop."""
        refused: list[Refused] = []
        readings = 0 if state else _READINGS
        learned: list[Message] | None = None
        while True:
            contents = dict(self.desired.everything())
            self._counts = {n: len(r) // declaration(self.family, n).layout.record for n, r in contents.items()}
            if state is not None and any(self._exceeds(name, state.sizes) for name in self._counts):
                state, readings = None, _READINGS
            if state is None and learned is None:
                learned = list(messages.restore_learned(self.family, readback.read_learned(self._socket, self.family)))
            batch, count = self._repair(state, contents, learned or [])
            result = self._socket.commit(batch)
            if isinstance(result, Committed):
                self._balancers, self._timeouts = self.desired.balancers(), self.desired.timeouts()
                self._sizes = state.sizes if state else self._wanted_sizes()
                return Outcome(self.family, True, count, result.bytes, tuple(refused))
            if state is None and learned:
                learned = []  # better everybody balanced anew than nobody served
                continue
            if readings < _READINGS:
                # While the kernel grows a hash table, a dump of it can miss elements: nobody's object is at fault.
                readings += 1
                state = readback.read(self._socket, self.family, self.options)
                continue
            culprits = self._culprits(result)
            if not culprits or len(refused) + len(culprits) > _MAX_REFUSALS:
                refused.append(Refused(None, _describe(result)))
                return Outcome(self.family, True, 0, 0, tuple(refused))
            for name, reason in culprits.items():
                refused.append(Refused(name, reason))
                self.desired.put(name, (), None)
                self._refused.add(name)

    def _wanted_sizes(self) -> dict[str, int]:
        return {set_.name: set_.size(self._counts.get(set_.name, 0)) for set_ in declarations(self.family)}

    def _exceeds(self, name: str, sizes: Mapping[str, int]) -> bool:
        size = sizes.get(name, 0)
        return bool(size) and self._counts[name] > size

    def _overflows(self, delta: Delta) -> bool:
        """Whether a set is too small for what a delta adds to it."""
        for name, come in delta.added.items():
            size = self._sizes.get(name, 0)
            if size and self._counts.get(name, 0) + len(come) - len(delta.deleted.get(name, ())) > size:
                return True
        return False

    def _count(self, delta: Delta) -> None:
        for name in delta.added.keys() | delta.deleted.keys():
            change = len(delta.added.get(name, ())) - len(delta.deleted.get(name, ()))
            self._counts[name] = self._counts.get(name, 0) + change

    def _repair(
        self, state: readback.TableState | None, desired: Mapping[str, bytes], learned: list[Message]
    ) -> tuple[list[Message], int]:
        """The batch that makes the kernel's table as desired, and how many objects it concerns.

        Args:
            state: of the table; None to replace it
            desired: all records, by set
            learned: what goes into a table that replaces one, beside what is desired
        """
        family, options, wanted = self.family, self.options, self.desired.balancers()
        timeouts = self.desired.timeouts()
        if state is None:
            batch = [*messages.replace_table(family), *messages.skeleton(family, options, self._wanted_sizes())]
            batch += learned
            batch += messages.create_timeouts(family, timeouts)
            batch += messages.create_balancers(family, options, wanted)
            count = len(batch)
            for name, records in desired.items():
                set_ = declaration(family, name)
                batch += messages.elements(family, set_, records)
                count += len(records) // set_.layout.record
            return batch, count
        delta = Delta()
        for name in desired.keys() | state.records.keys():
            records = state.records.get(name, b"")
            wanted_records = desired.get(name, b"")
            if records != wanted_records:
                size = declaration(family, name).layout.record
                have, want = set(split(records, size)), set(split(wanted_records, size))
                delta.delete(name, sorted(have - want))
                delta.add(name, sorted(want - have))
        create, remove = wanted - state.balancers, state.balancers - wanted
        new_timeouts, unused_timeouts = timeouts - state.timeouts, state.timeouts - timeouts
        batch = [
            *messages.create_timeouts(family, new_timeouts),
            *messages.create_balancers(family, options, create),
            *messages.change(family, delta),
            *messages.delete_balancers(family, remove),
            *messages.delete_timeouts(family, unused_timeouts, timeouts),
        ]
        return batch, len(delta) + len(create) + len(remove) + len(new_timeouts) + len(unused_timeouts)

    def _culprits(self, refusals: list[Refusal]) -> dict[ServiceName, str]:
        """The Services whose elements the kernel refused, each with the reason."""
        culprits = {}
        for refusal in refusals:
            about = refusal.message.about if refusal.message else None
            if isinstance(about, ElementRun) and refusal.answer.offset is not None:
                owner = self.desired.owner(about.name, about.key_at(refusal.answer.offset))
                if owner:
                    culprits[owner] = str(refusal)
        return culprits


def _describe(refusals: list[Refusal]) -> str:
    shown = "; ".join(str(refusal) for refusal in refusals[:3])
    return shown if len(refusals) <= 3 else f"{shown}; and {len(refusals) - 3} more"
