"""What IPVS mode has in the kernel: virtual servers, addresses, sets, and the fixed rules."""

from collections.abc import Iterable, Iterator, Mapping

from kproxy.backends.ipvs import readback
from kproxy.backends.ipvs.compile import NodeAddresses
from kproxy.backends.ipvs.desired import DesiredState as DesiredServers
from kproxy.backends.ipvs.readback import INTERFACE, PresentState, Sockets
from kproxy.backends.ipvs.repair import plan
from kproxy.backends.ipvs.rules import JUMPS, FixedRules
from kproxy.backends.ipvs.sets import SetName, set_name, specification
from kproxy.daemon.modes import ipvs_options
from kproxy.inspect.desired import DesiredState
from kproxy.inspect.diff.iptables_rules import find_tables, meaning
from kproxy.inspect.diff.report import Difference, Kind
from kproxy.inspect.rulesets.iptables.saved import SavedTables, read_rule
from kproxy.inspect.rulesets.packet import format_endpoint
from kproxy.kernel.ipset.elements import Element, describe
from kproxy.kernel.ipset.socket import SetSocket
from kproxy.kernel.ipvs.protocol import Backend, ServerKey
from kproxy.kernel.ipvs.socket import IpvsSocket
from kproxy.kernel.links import LinkSocket
from kproxy.services.addresses import Address, Family, format_address
from kproxy.services.local_traffic import LocalTraffic


def read_state(family: Family) -> PresentState:
    """Read the kernel.

    Raises:
        OSError: it has no IPVS or no sets, or does not permit it
    """
    sockets = Sockets(IpvsSocket(), SetSocket(), LinkSocket())
    try:
        return readback.read(sockets, family)
    finally:
        sockets.close()


class Comparison:
    """Compares one family."""

    def __init__(
        self, desired: DesiredState, family: Family, state: PresentState, programs: Mapping[str, SavedTables]
    ) -> None:
        self._family, self._state = family, state
        self.program, self._found = find_tables(programs)
        self._options = ipvs_options(desired.settings.configuration)
        self._local = desired.local_traffic.get(family, LocalTraffic())
        self._wanted = DesiredServers(self._options)
        length = family.length
        self._wanted.node = NodeAddresses(
            frozenset(a for a in desired.node_port_addresses if len(a) == length),
            state.own_addresses,
            frozenset(a for a in desired.primary_addresses if len(a) == length),
        )
        tracker = desired.tracker
        self._wanted.put({name: tracker.ports(name, family) for name in tracker.names()})
        self.compared = len(self._wanted.servers) + len(self._wanted.addresses())
        """Objects looked at."""

    def differences(self) -> Iterator[Difference]:
        """Everything that differs; virtual servers of others are left alone."""
        delta = plan(self._wanted, self._state, ()).delta
        for key, _ in delta.servers_added:
            yield self._server("missing", key)
        for key in delta.servers_removed:
            yield self._server("extra", key)
        for key, settings in delta.servers_changed:
            present = self._state.servers[key].settings
            yield self._server("different", key, wanted=f"{settings}", found=f"{present}")
        for key, backend, weight in delta.backends_added:
            if key in self._state.servers:
                yield self._server("missing", key, backend, wanted=f"weight {weight}")
        for key, backend, weight in delta.backends_changed:
            found = f"weight {self._state.servers[key].weights[backend]}"
            yield self._server("different", key, backend, wanted=f"weight {weight}", found=found)
        for key, backend in delta.backends_removed:
            yield self._server("extra", key, backend)
        yield from self._addresses("missing", delta.addresses_added)
        yield from self._addresses("extra", delta.addresses_removed)
        yield from self._elements("missing", delta.elements_added)
        yield from self._elements("extra", delta.elements_removed)
        yield from self._rules()

    def _server(
        self, kind: Kind, key: ServerKey, backend: Backend = b"", *, wanted: str = "", found: str = ""
    ) -> Difference:
        name = str(key)
        if backend:
            name = f"real server {format_endpoint(backend[:-2], int.from_bytes(backend[-2:], 'big'))} of {name}"
        service = str(self._wanted.owner(key) or "")
        return Difference(kind=kind, place="IPVS", object=name, service=service, wanted=wanted, found=found)

    def _addresses(self, kind: Kind, addresses: Iterable[Address]) -> Iterator[Difference]:
        for address in addresses:
            service = str(self._wanted.user(address=address) or "")
            place = f"interface {INTERFACE}"
            yield Difference(kind=kind, place=place, object=format_address(address), service=service)

    def _elements(self, kind: Kind, by_set: Mapping[SetName, Iterable[Element]]) -> Iterator[Difference]:
        for name, elements in by_set.items():
            type_ = specification(name, self._family).type
            for element in elements:
                text = describe(type_, self._family, element)
                service = str(self._wanted.user(element=element) or "")
                place = f"set {set_name(name, self._family)}"
                yield Difference(kind=kind, place=place, object=text, service=service)

    def _rules(self) -> Iterator[Difference]:
        rules = FixedRules(
            self._family,
            masquerade_mark=self._options.masquerade_mark,
            masquerade_all=self._options.masquerade_all,
            local_traffic=self._local,
        )
        for table, chains in rules.tables().items():
            present = self._found.get(table, {})
            for name, wanted in chains.items():
                self.compared += len(wanted)
                place = f"{self.program} {table} {name}"
                have = [meaning(rule) for rule in present[name].rules] if name in present else []
                for text in wanted:
                    if meaning(read_rule(text)) not in have:
                        yield Difference(kind="missing", place=place, object=text)
                ours = {meaning(read_rule(text)) for text in wanted}
                for rule in present[name].rules if name in present else ():
                    if meaning(rule) not in ours:
                        yield Difference(kind="extra", place=place, object=rule.text)
            for source, text in JUMPS[table]:
                have = [meaning(rule) for rule in present[source].rules] if source in present else []
                if meaning(read_rule(text)) not in have:
                    yield Difference(kind="missing", place=f"{self.program} {table} {source}", object=text)
