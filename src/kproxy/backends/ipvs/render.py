"""One family's state of the mode in words, without a kernel: as the tools print it that an operator would use."""

from collections.abc import Collection, Iterator

from kproxy.backends.interface import Model
from kproxy.backends.iptables.saved import Saved
from kproxy.backends.iptables.tool import COMMANDS
from kproxy.backends.ipvs import rule_tables
from kproxy.backends.ipvs.compile import NodeAddresses, VirtualServer
from kproxy.backends.ipvs.desired import DesiredState
from kproxy.backends.ipvs.options import IpvsOptions
from kproxy.backends.ipvs.readback import INTERFACE
from kproxy.backends.ipvs.rules import JUMPS, FixedRules
from kproxy.backends.ipvs.sets import specifications
from kproxy.kernel.ipset.elements import describe
from kproxy.kernel.ipvs.protocol import FALLBACK, PERSISTENT, WITH_PORT, ServerKey
from kproxy.services.addresses import Address, Family, format_address
from kproxy.services.local_traffic import LocalTraffic

_PROTOCOLS = {6: "-t", 17: "-u", 132: "--sctp-service"}
_FLAGS = {FALLBACK: "flag-1", WITH_PORT: "flag-2"}
"""Names that ipvsadm takes for any scheduler."""


def render(
    model: Model, family: Family, options: IpvsOptions, local: LocalTraffic, node_ports: Collection[Address]
) -> Iterator[str]:
    """The lines of each tool's input, under a comment that names the tool.

    Args:
        model: the Services
        family: whose rules
        options: how
        local: how packets from local pods are recognised
        node_ports: the node's addresses on which NodePorts answer
    """
    state = DesiredState(options)
    state.node = NodeAddresses(node_ports=frozenset(node_ports))
    state.put({name: model.ports(name, family) for name in model.names()})
    yield "# ipvsadm-restore"
    for key in sorted(state.servers):
        yield from _virtual_server(key, state.servers[key])
    yield "# ip -batch -"
    for address in sorted(state.addresses()):
        yield f"address add {format_address(address)}/{len(address) * 8} dev {INTERFACE}"
    yield "# ipset restore"
    elements = state.elements()
    for name, set_ in specifications(family).items():
        yield f"create {set_.name} {set_.type.value} {_set_options(set_.type.value, family)}"
        yield from (f"add {set_.name} {describe(set_.type, family, element)}" for element in sorted(elements[name]))
    yield f"# {COMMANDS[family]}-restore --noflush"
    fixed = FixedRules(
        family,
        masquerade_mark=options.masquerade_mark,
        masquerade_all=options.masquerade_all,
        local_traffic=local,
    )
    yield from rule_tables.missing(fixed, {table: Saved({}) for table in JUMPS}).decode().splitlines()


def _virtual_server(key: ServerKey, server: VirtualServer) -> Iterator[str]:
    frontend = f"{_PROTOCOLS[key.protocol]} {_authority(key.address, key.port)}"
    settings = server.settings
    stays = f" -p {settings.timeout}" if settings.flags & PERSISTENT else ""
    flags = ",".join(name for flag, name in _FLAGS.items() if settings.flags & flag)
    yield f"-A {frontend} -s {settings.scheduler}{stays}" + (f" -b {flags}" if flags else "")
    for backend, weight in sorted(server.backends.items()):
        port = int.from_bytes(backend[-2:], "big")
        yield f"-a {frontend} -r {_authority(backend[:-2], port)} -m -w {weight}"


def _authority(address: Address, port: int) -> str:
    text = format_address(address)
    return f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"


def _set_options(type_: str, family: Family) -> str:
    return "range 0-65535" if type_.startswith("bitmap:") else f"family {'inet' if family is Family.IPV4 else 'inet6'}"
