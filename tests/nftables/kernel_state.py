"""What a test compares: the kernel's table, read back, with what may differ between equal tables taken out."""

from kproxy.backends.nftables import readback
from kproxy.backends.nftables.backend import NftablesBackend, open_nftables
from kproxy.backends.nftables.delta import split
from kproxy.backends.nftables.ruleset import RulesetOptions
from kproxy.backends.nftables.sets import SetName, StickyTimeout, declaration
from kproxy.services.addresses import Family
from kproxy.services.local_traffic import LocalTraffic, by_network

POD_NETWORKS = by_network(["10.244.0.0/16", "fd00:10:244::/48"])
FAMILIES = tuple(Family)

_SLOTTED = ("-endpoints", "-picks")
_BALANCED = {SetName.SERVICE_PORTS, SetName.NODEPORTS, SetName.SERVICE_LOCAL_PORTS, SetName.NODEPORT_LOCAL_PORTS}

Contents = dict[tuple[Family, str], object]


def backend() -> NftablesBackend:
    made = NftablesBackend(FAMILIES, RulesetOptions())
    made.set_local_traffic(POD_NETWORKS)
    return made


def contents() -> Contents:
    """Both families' sets as the kernel has them.

    Which number leads to an endpoint is left to history, so a map by number becomes, for each destination, the set of
    what it leads to; that the numbers begin at 0 and have no gaps is checked here.
    """
    found: Contents = {}
    socket = open_nftables()
    for family in FAMILIES:
        options = RulesetOptions(POD_NETWORKS.get(family, LocalTraffic()))
        state = readback.read(socket, family, options)
        assert state is not None, f"the {family.value} table is not ours"
        for name, joined in state.records.items():
            layout = declaration(family, name).layout
            records = list(split(joined, layout.record))
            if not records and StickyTimeout.parse(name):
                continue  # unused: it stays until the next full sync
            assert len(set(records)) == len(records)
            found[family, name] = _by_destination(records, layout.key) if name.endswith(_SLOTTED) else set(records)
        for name in _BALANCED:
            used = {record[-4:] for record in split(state.records[name], declaration(family, name).layout.record)}
            assert used <= {balancer.encoded for balancer in state.balancers}
    socket.close()
    return found


def _by_destination(records: list[bytes], key: int) -> dict[bytes, list[bytes]]:
    destinations: dict[bytes, dict[int, bytes]] = {}
    for record in records:
        slot = int.from_bytes(record[key - 4 : key], "little")
        destinations.setdefault(record[: key - 4], {})[slot] = record[key:]
    for slots in destinations.values():
        own = [slot for slot in slots if slot > 0xFFFF]  # of destinations with session affinity
        assert len(own) in (0, len(slots))
        assert own or sorted(slots) == list(range(len(slots)))
    return {destination: sorted(slots.values()) for destination, slots in destinations.items()}
