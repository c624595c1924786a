"""The iptables mode: both families' rules behind the interface that every mode has."""

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import msgspec

from kproxy.backends.interface import BackendError, Model, Outcome, RuleCount, Sample
from kproxy.backends.iptables import accounting, variants
from kproxy.backends.iptables.audit import Audit
from kproxy.backends.iptables.kernel_rules import KernelRules
from kproxy.backends.iptables.legacy_watch import LegacyWatch
from kproxy.backends.iptables.localnet import allow_localnet
from kproxy.backends.iptables.matches import from_pods
from kproxy.backends.iptables.nft_watch import NftWatch
from kproxy.backends.iptables.options import RuleOptions
from kproxy.backends.iptables.tool import Tool, Variant
from kproxy.services.addresses import Address, Family, Network
from kproxy.services.flows import ServedModel
from kproxy.services.local_traffic import LocalTraffic
from kproxy.services.model import ServiceName

log = logging.getLogger(__name__)

_LOCALHOST = bytes((127, 0, 0, 1))


class IptablesOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration says about iptables mode, for both families."""

    masquerade_all: bool = False
    masquerade_mark: int = 1 << 14
    localhost_node_ports: bool = True
    drop_invalid: bool = True
    """Unless `conntrack.tcpBeLiberal`."""
    node_port_networks: tuple[Network, ...] = ()
    """`nodePortAddresses` as far as they are CIDRs; none of a family: everywhere in that family."""
    primary_node_ports: bool = False
    """`nodePortAddresses` is `primary`."""
    audit_seconds: float = 30.0
    """How often, at most, syncs compare all rules with the kernel's though nothing tells of a difference."""


class IptablesBackend:
    """Implements `kproxy.backends.interface.Backend`, in the network namespace of the thread that makes it."""

    mode = rules = "iptables"

    def __init__(
        self, families: Collection[Family], options: IptablesOptions, tools: Mapping[Family, Tool] | None = None
    ) -> None:
        """Choose the variant, and set what the rules need; no rule is written yet.

        Args:
            families: the IP families to serve
            options: how
            tools: the programs to use, instead of those that this node uses

        Raises:
            BackendError: iptables does not work here
        """
        self._tools = dict(variants.choose(families) if tools is None else tools)
        try:
            counted = accounting.create()
        except OSError as error:
            raise BackendError(f"iptables mode may not be used here: {error}") from error
        self._rules = {
            family: KernelRules(tool, rule_options(family, options, counted=counted))
            for family, tool in self._tools.items()
        }
        self._extra_addresses: tuple[Address, ...] = ()
        if any(rules.options.localhost_node_ports for rules in self._rules.values()):
            allow_localnet()
            self._extra_addresses = (_LOCALHOST,)
        self._audit = Audit(options.audit_seconds)
        self._legacy_watch: LegacyWatch | None = None
        self._nft_watch: NftWatch | None = None

    def families(self) -> Collection[Family]:
        return self._rules.keys()

    async def sync(self, changed: Collection[ServiceName], model: Model) -> list[Outcome]:
        # One family after the other: legacy programs share a lock, and nft ones begin anew when another has committed.
        with self._writing():
            outcomes = [await rules.sync(changed, model) for rules in self._rules.values()]
        if not self._audit.due() or any(outcome.refused for outcome in outcomes):
            return outcomes
        found = await self.sync_all((), model)
        if any(outcome.objects for outcome in found):
            log.warning("Somebody else changed our rules, which nothing told of; repaired")
        return list(map(_together, outcomes, found))

    async def sync_all(self, changed: Collection[ServiceName], model: Model) -> list[Outcome]:
        begin = time.monotonic()
        with self._writing():
            outcomes = [await rules.sync_all(changed, model) for rules in self._rules.values()]
        self._audit.compared(time.monotonic() - begin, repaired=any(outcome.objects for outcome in outcomes))
        return outcomes

    def set_node_port_addresses(self, addresses: Collection[Address]) -> None:
        for rules in self._rules.values():
            rules.set_node_port_addresses((*addresses, *self._extra_addresses))

    def set_local_traffic(self, local_traffic: Mapping[Family, LocalTraffic]) -> None:
        for family, rules in self._rules.items():
            local = local_traffic.get(family, LocalTraffic())
            try:
                from_pods(local)
            except ValueError as error:
                raise BackendError(f"detectLocal: {error}") from error
            rules.set_options(local_traffic=local)

    def set_node_ips(self, addresses: Collection[Address]) -> None:
        for family, rules in self._rules.items():
            rules.set_options(node_ip=next((a for a in addresses if len(a) == family.length), None))

    def rule_counts(self) -> Mapping[Family, Mapping[str, RuleCount]]:
        return {family: rules.counts() for family, rules in self._rules.items()}

    def object_counts(self) -> Mapping[Family, Mapping[str, int]]:
        return {
            family: {f"{table} rules": count.total for table, count in tables.items()}
            for family, tables in self.rule_counts().items()
        }

    def metrics(self) -> Iterable[Sample]:
        return ()

    def flow_model(self, services: ServedModel) -> ServedModel:
        return services

    def packet_counters(self) -> Mapping[str, int]:
        return accounting.read()

    def watch(self, on_tampering: Callable[[], None]) -> None:
        if self._variant is Variant.LEGACY:
            self._legacy_watch = LegacyWatch(self._rules, on_tampering, self._audit)
        else:
            self._nft_watch = NftWatch(self._tools.values(), on_tampering)
            for rules in self._rules.values():
                rules.around_restore = self._nft_watch.writing

    def close(self) -> None:
        for watch in (self._legacy_watch, self._nft_watch):
            if watch:
                watch.close()
        self._legacy_watch = self._nft_watch = None

    @property
    def _variant(self) -> Variant:
        return next(iter(self._tools.values())).variant

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._legacy_watch.writing() if self._legacy_watch else contextlib.nullcontext():
            yield


def _together(first: Outcome, second: Outcome) -> Outcome:
    return second._replace(objects=first.objects + second.objects, bytes=first.bytes + second.bytes)


def rule_options(family: Family, options: IptablesOptions, *, counted: bool) -> RuleOptions:
    """What the configuration means for one family's rules.

    Args:
        family: whose
        options: the configuration
        counted: whether the kernel has nfacct counters
    """
    networks = [network for network in options.node_port_networks if len(network.address) == family.length]
    everywhere = not options.primary_node_ports and (not networks or any(not n.prefix_length for n in networks))
    reaches_localhost = everywhere or any(_LOCALHOST in network for network in networks)
    return RuleOptions(
        family=family,
        masquerade_all=options.masquerade_all,
        masquerade_mark=options.masquerade_mark,
        localhost_node_ports=family is Family.IPV4 and options.localhost_node_ports and reaches_localhost,
        drop_invalid=options.drop_invalid,
        accounting=counted,
        every_node_address=everywhere,
    )
