"""Reading a table back from the kernel."""

from typing import NamedTuple, TypeVar

from kproxy.kernel.netlink import attributes, each_attribute, reread, text
from kproxy.kernel.nftnl import protocol
from kproxy.kernel.nftnl.elements import ElementLayout
from kproxy.kernel.nftnl.protocol import SUBSYSTEM, Hook, SetAttributes, generic
from kproxy.kernel.nftnl.transaction import NftSocket

T = TypeVar("T")

_RETRIES = 10
"""How often a dump that somebody else's commit interrupts is begun anew."""


class TableContents(NamedTuple):
    """A table as it is, without its elements."""

    sets: dict[str, SetAttributes]
    sizes: dict[str, int]
    """How many elements each set may hold; 0: no limit."""
    chains: dict[str, Hook | None]
    rules: dict[str, list[bytes]]
    """The user data of each chain's rules, in order."""


def read_table(socket: NftSocket, family: int, name: str) -> TableContents | None:
    """Read a table; None when it does not exist.

    Raises:
        OSError: EPERM, or EINTR when others keep changing the rule-set
    """
    return reread(lambda: _read_table(socket, family, name), _RETRIES)


def read_elements(socket: NftSocket, family: int, table: str, set_name: str, layout: ElementLayout) -> bytes | None:
    """The records of all elements of a set; None when some element is not of the layout's shape.

    For some milliseconds after many elements came, while the kernel grows the set's hash table, a dump may miss
    some and have others twice; nothing in it tells.

    Raises:
        OSError: ENOENT without that set, EPERM, EINTR
    """
    return reread(lambda: _read_elements(socket, family, table, set_name, layout), _RETRIES)


def read_element_lists(socket: NftSocket, family: int, table: str, set_name: str) -> list[bytes]:
    """The elements of a set with all that belongs to them, encoded, to be added to another set.

    Raises:
        OSError: as `read_elements`
    """
    return reread(lambda: [bytes(encoded) for encoded in _element_lists(socket, family, table, set_name)], _RETRIES)


def read_verdicts(socket: NftSocket, family: int, table: str, set_name: str) -> dict[bytes, str]:
    """The keys of a verdict map, and the chain that each leads to.

    Raises:
        OSError: as `read_elements`
    """
    return reread(lambda: _read_verdicts(socket, family, table, set_name), _RETRIES)


def _read_table(socket: NftSocket, family: int, name: str) -> TableContents | None:
    def dump(type_: int, *filters: bytes) -> list[dict[int, memoryview]]:
        body = generic(family) + b"".join(filters)
        answers = socket.netlink.dump(SUBSYSTEM << 8 | type_, body)
        return [attributes(answer.body, 4) for answer in answers]

    if all(_string(table[protocol.TABLE_NAME]) != name for table in dump(protocol.GETTABLE)):
        return None
    ours = text(1, name)
    sets, sizes = {}, {}
    for found in dump(protocol.GETSET, ours):
        set_name = _string(found[protocol.SET_NAME])
        sets[set_name] = _set_attributes(found)
        sizes[set_name] = _number(attributes(found.get(protocol.SET_DESCRIPTION, b"")), protocol.DESCRIPTION_SIZE)
    chains = {}
    for chain in dump(protocol.GETCHAIN):
        if _string(chain[protocol.CHAIN_TABLE]) == name:
            chains[_string(chain[protocol.CHAIN_NAME])] = _hook(chain)
    rules: dict[str, list[bytes]] = {chain: [] for chain in chains}
    for rule in dump(protocol.GETRULE, ours):
        if _string(rule[protocol.RULE_TABLE]) == name:
            userdata = bytes(rule.get(protocol.RULE_USERDATA, b""))
            rules.setdefault(_string(rule[protocol.RULE_CHAIN]), []).append(userdata)
    return TableContents(sets, sizes, chains, rules)


def _string(value: memoryview) -> str:
    return bytes(value).rstrip(b"\0").decode(errors="replace")


def _number(found: dict[int, memoryview], type_: int) -> int:
    return int.from_bytes(found.get(type_, b""), "big")


def _set_attributes(found: dict[int, memoryview]) -> SetAttributes:
    data_type = _number(found, protocol.SET_DATA_TYPE)
    return SetAttributes(
        _number(found, protocol.SET_FLAGS),
        _number(found, protocol.SET_KEY_TYPE),
        _number(found, protocol.SET_KEY_LENGTH),
        data_type,
        # A verdict has no length of its own; the kernel reports the size of its struct.
        0 if data_type == protocol.VERDICT_DATA_TYPE else _number(found, protocol.SET_DATA_LENGTH),
        _number(found, protocol.SET_TIMEOUT),
    )


def _hook(found: dict[int, memoryview]) -> Hook | None:
    if protocol.CHAIN_HOOK not in found:
        return None
    hook = attributes(found[protocol.CHAIN_HOOK])
    priority = int.from_bytes(hook[protocol.HOOK_PRIORITY], "big", signed=True)
    return Hook(_string(found[protocol.CHAIN_TYPE]), _number(hook, protocol.HOOK_NUMBER), priority)


def _element_lists(socket: NftSocket, family: int, table: str, set_name: str) -> list[memoryview]:
    body = generic(family) + text(protocol.ELEMENTS_TABLE, table) + text(protocol.ELEMENTS_SET, set_name)
    lists = []
    for answer in socket.netlink.dump(SUBSYSTEM << 8 | protocol.GETSETELEM, body):
        found = attributes(answer.body, 4)
        if protocol.ELEMENTS_LIST in found:
            lists.append(found[protocol.ELEMENTS_LIST])
    return lists


def _read_elements(socket: NftSocket, family: int, table: str, set_name: str, layout: ElementLayout) -> bytes | None:
    parts = []
    for encoded in _element_lists(socket, family, table, set_name):
        records = layout.decode(encoded)
        if records is None:
            return None
        parts.append(records)
    return b"".join(parts)


def _read_verdicts(socket: NftSocket, family: int, table: str, set_name: str) -> dict[bytes, str]:
    verdicts = {}
    for encoded in _element_lists(socket, family, table, set_name):
        for _, element in each_attribute(encoded):
            parts = attributes(element)
            key = attributes(parts[protocol.ELEMENT_KEY])[1]
            verdict = attributes(attributes(parts[protocol.ELEMENT_DATA]).get(2, b""))
            verdicts[bytes(key)] = _string(verdict[2]) if 2 in verdict else ""
    return verdicts
