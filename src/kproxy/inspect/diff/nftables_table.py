"""Our nftables table, object by object: chains, rules, sets and every element of them."""

from collections.abc import Iterator, Mapping

from kproxy.backends.nftables.balancers import Balancer
from kproxy.backends.nftables.delta import Delta, split
from kproxy.backends.nftables.desired import DesiredTable
from kproxy.backends.nftables.messages import rules_of, userdata
from kproxy.backends.nftables.render import element_text
from kproxy.backends.nftables.ruleset import TABLE, Chain, RulesetOptions, chains, remembering_rule
from kproxy.backends.nftables.sets import SetDeclaration, SetName, StickyTimeout, declaration, declarations
from kproxy.backends.nftables.statements import IP, NFPROTO
from kproxy.config.defaults import mode_settings
from kproxy.inspect.desired import DesiredState
from kproxy.inspect.diff.report import Difference, Kind
from kproxy.inspect.rulesets.nft.ruleset import Ruleset, TableName
from kproxy.kernel.nftnl.reading import TableContents, read_elements, read_table, read_verdicts
from kproxy.kernel.nftnl.transaction import NftSocket
from kproxy.services.addresses import Family
from kproxy.services.local_traffic import LocalTraffic
from kproxy.services.model import ServiceName


class Comparison:
    """Compares one family's table."""

    def __init__(self, socket: NftSocket, desired: DesiredState, family: Family, ruleset: Ruleset | None) -> None:
        """Prepare.

        Args:
            socket: to read with
            desired: what should be
            family: whose table
            ruleset: as nft prints it, for the words of rules that are not ours
        """
        settings = mode_settings(desired.settings.configuration)
        self._options = RulesetOptions(
            desired.local_traffic.get(family, LocalTraffic()), settings.masquerade_all, 1 << settings.masquerade_bit
        )
        self._socket, self._family = socket, family
        self._model = desired
        self._table = DesiredTable(family)
        printed = ruleset.tables.get(TableName(IP[family], TABLE)) if ruleset else None
        self._printed = printed.chains if printed else {}
        self._owners: dict[tuple[str, bytes], ServiceName] = {}
        self.compared = 0
        """Objects looked at so far."""

    def differences(self) -> Iterator[Difference]:
        """Everything that differs.

        Raises:
            OSError: the kernel refuses, or others keep changing the rule-set
        """
        proto = NFPROTO[self._family]
        contents = read_table(self._socket, proto, TABLE)
        if contents is None:
            self._load({})
            yield Difference(kind="missing", place="nftables", object=f"table {IP[self._family]} {TABLE}")
            return
        found = {
            name: records
            for name in contents.sets
            if (set_ := self._declared(name)) is not None and not set_.is_verdict_map and not set_.learned
            for records in (read_elements(self._socket, proto, TABLE, name, set_.layout),)
            if records is not None
        }
        self._load(found)
        yield from self._sets(contents)
        verdicts = (
            read_verdicts(self._socket, proto, TABLE, SetName.BALANCERS) if SetName.BALANCERS in contents.sets else {}
        )
        yield from self._balancers(verdicts)
        yield from self._chains(contents)
        yield from self._elements(found)

    def _declared(self, name: str) -> SetDeclaration | None:
        try:
            return declaration(self._family, name)
        except StopIteration:
            return None

    def _load(self, found: Mapping[str, bytes]) -> None:
        """Compile every Service; endpoints keep the slots that they have in the kernel, which are left to history."""
        table, model = self._table, self._model
        primary = (a for a in model.primary_addresses if len(a) == self._family.length)
        table.node_ip = next(primary, None)
        table.adopt(dict(found))
        for name in model.tracker.names():
            table.put(name, model.tracker.ports(name, self._family), None)
        table.forget_adopted()
        node_ports = {a for a in model.node_port_addresses if len(a) == self._family.length}
        table.put_node_port_ips(node_ports, Delta())
        for name, compiled in table.compiled.items():
            for set_name, records in compiled:
                for record in split(records, declaration(self._family, set_name).layout.record):
                    self._owners.setdefault((set_name, record), name)

    # ------------------------------------------------------------------ structure

    def _sets(self, contents: TableContents) -> Iterator[Difference]:
        wanted = {d.name: d for d in declarations(self._family)}
        wanted |= {t.name: declaration(self._family, t.name) for t in self._table.timeouts()}
        self.compared += len(wanted)
        for name in sorted(wanted.keys() - contents.sets.keys()):
            yield self._difference("missing", f"set {name}")
        for name in sorted(contents.sets.keys() - wanted.keys()):
            if StickyTimeout.parse(name) is None:  # those stay a while after their last Service has gone
                yield self._difference("extra", f"set {name}")
        for name in sorted(wanted.keys() & contents.sets.keys()):
            if wanted[name].attributes != contents.sets[name]:
                yield self._difference(
                    "different", f"set {name}", wanted=f"{wanted[name].attributes}", found=f"{contents.sets[name]}"
                )

    def _balancers(self, verdicts: Mapping[bytes, str]) -> Iterator[Difference]:
        place = f"map {SetName.BALANCERS}"
        wanted = {balancer.encoded: balancer.chain for balancer in self._table.balancers()}
        self.compared += len(wanted)
        for encoded, chain in wanted.items():
            if encoded not in verdicts:
                yield self._difference("missing", chain, place=place)
        for encoded, chain in verdicts.items():
            balancer = Balancer.decode(encoded)
            # Unused ones stay for a while; they say where they lead all the same.
            if balancer is None or balancer.chain != chain:
                text = balancer.chain if balancer else encoded.hex()
                yield self._difference("different", text, place=place, wanted=text, found=chain)

    def _chains(self, contents: TableContents) -> Iterator[Difference]:
        wanted = {chain.name: chain for chain in self._wanted_chains()}
        in_use = set(wanted)
        unused = {name for name in contents.chains if name not in in_use and _balancer_chain(name)}
        for name, chain in wanted.items():
            self.compared += 1 + len(chain.rules)
            if name not in contents.chains:
                yield self._difference("missing", f"chain {name}")
                continue
            if contents.chains[name] != chain.hook:
                found = f"{contents.chains[name]}"
                yield self._difference("different", f"chain {name}", wanted=f"{chain.hook}", found=found)
            yield from self._rules(chain, contents.rules.get(name, []))
        for name in sorted(contents.chains.keys() - in_use - unused):
            yield self._difference("extra", f"chain {name}")

    def _wanted_chains(self) -> Iterator[Chain]:
        timeouts = sorted(self._table.timeouts())
        for chain in chains(self._family, self._options):
            if not chain.rules:
                rules = [remembering_rule(t, self._family) for t in timeouts if t.chain == chain.name]
                chain = chain._replace(rules=tuple(rules))
            yield chain
        for balancer in self._table.balancers():
            yield Chain(balancer.chain, rules_of(balancer, self._family, self._options))

    def _rules(self, chain: Chain, found: list[bytes]) -> Iterator[Difference]:
        """By the digests in their user data: a rule that somebody else added has none of ours."""
        remaining = list(enumerate(found))
        missing = []
        for rule in chain.rules:
            data = userdata(rule)
            same = next((each for each in remaining if each[1] == data), None)
            if same is not None:
                remaining.remove(same)
            else:
                missing.append(" ".join(statement.text for statement in rule.statements))
        place = f"chain {chain.name}"
        for text in missing:
            yield self._difference("missing", text, place=place)
        if not chain.name.endswith("-remember"):  # rules of timeouts that nobody has any more stay a while
            for position, _ in remaining:
                yield self._difference("extra", self._printed_rule(chain.name, position, len(found)), place=place)
        ours = [userdata(rule) for rule in chain.rules]
        if not missing and not remaining and found != ours:
            yield self._difference("different", "the order of the rules", place=place)

    def _printed_rule(self, chain: str, position: int, count: int) -> str:
        """A rule in nft's words, unless the chain has changed since it printed them."""
        rules = self._printed.get(chain, [])
        return rules[position].text if len(rules) == count else "a rule that is not ours"

    # ------------------------------------------------------------------ elements

    def _elements(self, found: Mapping[str, bytes]) -> Iterator[Difference]:
        desired = dict(self._table.everything())
        for name in sorted(desired.keys() | found.keys()):
            set_ = self._declared(name)
            if set_ is None or set_.is_verdict_map or set_.learned:
                continue
            size = set_.layout.record
            want, have = set(split(desired.get(name, b""), size)), set(split(found.get(name, b""), size))
            self.compared += len(want)
            yield from self._records(set_, want - have, have - want)

    def _records(self, set_: SetDeclaration, missing: set[bytes], extra: set[bytes]) -> Iterator[Difference]:
        place = f"{'map' if set_.data else 'set'} {set_.name}"
        key = set_.layout.key
        replaced = {record[:key]: record for record in extra} if set_.data else {}
        for record in sorted(missing):
            service = self._owners.get((set_.name, record))
            text = element_text(set_, record)
            other = replaced.pop(record[:key], None)
            if other is None:
                yield self._difference("missing", text, place=place, service=service)
            else:
                extra.discard(other)
                yield self._difference(
                    "different", text, place=place, service=service, wanted=text, found=element_text(set_, other)
                )
        for record in sorted(extra):
            service = self._owner_of_key(set_, record)
            yield self._difference("extra", element_text(set_, record), place=place, service=service)

    def _owner_of_key(self, set_: SetDeclaration, record: bytes) -> ServiceName | None:
        """Whose destination an element that should not be there is for."""
        lengths = [(t.length + 3) // 4 * 4 for t in set_.key]
        for end in range(len(lengths), 0, -1):
            prefix = record[: sum(lengths[:end])]
            for (_, known), name in self._owners.items():
                if known.startswith(prefix):
                    return name
        return None

    def _difference(
        self,
        kind: Kind,
        text: str,
        *,
        place: str = "",
        service: ServiceName | None = None,
        wanted: str = "",
        found: str = "",
    ) -> Difference:
        return Difference(
            kind=kind,
            place=f"table {IP[self._family]} {TABLE} {place}".rstrip(),
            object=text,
            service=str(service or ""),
            wanted=wanted,
            found=found,
        )


def _balancer_chain(name: str) -> bool:
    """Whether a chain may be that of a balancer nobody uses any more: they end in their number of endpoints."""
    return name.rpartition("-")[2].isdecimal()
