"""What a person asks: `SRC DST:PORT/proto`, read and, where it names objects, resolved."""

import re
from typing import NamedTuple

import msgspec

from kproxy.inspect.output import InspectionError
from kproxy.services.addresses import Address, parse_address
from kproxy.services.model import ServiceName
from kproxy.services.objects import Protocol

NODE = "node"
"""As a source: a process of this node, outside of any pod's network."""

_PROTOCOLS: dict[str, Protocol] = {"tcp": "TCP", "udp": "UDP", "sctp": "SCTP"}
_NAME = r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?"
_SERVICE = re.compile(rf"(?:({_NAME})/)?({_NAME})")
_DNS = re.compile(rf"({_NAME}?)\.([a-z0-9-]+)\.svc(?:\.{_NAME})?\.?")
_DESTINATION = re.compile(r"(\[[^\]]+\]|[^:\[\]]+):([a-z0-9-]+)(?:/([a-zA-Z]+))?")


class ObjectName(NamedTuple):
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Destination(msgspec.Struct, frozen=True):
    """Where the packet is sent."""

    host: Address | ServiceName
    port: int | str
    """A number, or the name of a Service's port."""
    protocol: Protocol | None
    """None: not said; TCP, unless the Service has the port for another protocol only."""


def parse_destination(text: str) -> Destination:
    """Read `ADDRESS:PORT`, `[IPv6]:PORT` or a Service in place of the address, each with `/proto` behind it or not.

    Raises:
        InspectionError: it is none of these
    """
    found = _DESTINATION.fullmatch(text.strip().lower())
    protocol = _PROTOCOLS.get(found[3]) if found and found[3] else None
    if found is None or (found[3] and protocol is None):
        raise InspectionError(
            f"{text}: not a destination; write ADDRESS:PORT, [IPv6]:PORT or NAMESPACE/SERVICE:PORT, and /udp or /sctp"
        )
    port: int | str = found[2]
    if found[2].isdecimal():
        port = int(found[2])
        if not 0 < port < 65536:
            raise InspectionError(f"{text}: {port} is not between 1 and 65535")
    return Destination(_host(found[1], text), port, protocol)


def _host(text: str, whole: str) -> Address | ServiceName:
    bare = text.strip("[]")
    address = parse_address(bare)
    if address is not None:
        return address
    if text != bare or re.fullmatch(r"[0-9.]+", text):
        raise InspectionError(f"{whole}: {bare} is not an address")
    if dns := _DNS.fullmatch(text):
        return ServiceName(dns[2], dns[1])
    if service := _SERVICE.fullmatch(text):
        return ServiceName(service[1] or "default", service[2])
    raise InspectionError(f"{whole}: {text} is neither an address nor a Service")


def parse_source(text: str) -> Address | ObjectName | None:
    """Read `node` (None), an address, or a pod's `NAMESPACE/NAME`.

    Raises:
        InspectionError: it is none of these
    """
    word = text.strip()
    if word == NODE:
        return None
    address = parse_address(word.strip("[]"))
    if address is not None:
        return address
    pod = _SERVICE.fullmatch(word)
    if pod is None:
        raise InspectionError(f"{text}: not a source; write node, an address, or NAMESPACE/POD")
    return ObjectName(pod[1] or "default", pod[2])
