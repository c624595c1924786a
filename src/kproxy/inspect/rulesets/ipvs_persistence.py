"""Which clients IPVS remembers: its session affinity (/proc/net/ip_vs_conn)."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from kproxy.inspect.rulesets.packet import PROTOCOL_NUMBERS
from kproxy.kernel.ipvs.protocol import Backend, ServerKey
from kproxy.services.addresses import Address

_CONNECTIONS = Path("/proc/thread-self/net/ip_vs_conn")
"""Of the network namespace of the calling thread."""
_EXPIRE_QUIESCENT = Path("/proc/sys/net/ipv4/vs/expire_quiescent_template")
_NO_PORT = b"0000"


class Client(NamedTuple):
    """Somebody who asked a persistent virtual server."""

    server: ServerKey
    address: Address


class Persistence(NamedTuple):
    """What the kernel knows of clients."""

    servers: Mapping[Client, Backend] = {}
    """The real server that each got last, which may be gone or have weight 0 by now."""
    with_weight_zero: bool = False
    """Whether a client stays with a real server of weight 0 (net.ipv4.vs.expire_quiescent_template is 0)."""


def read_persistence() -> Persistence:
    """Read what is remembered; clients of virtual servers whose mask covers more than one are not found by address.

    Raises:
        OSError: the kernel has no IPVS, or the file may not be read
    """
    with _CONNECTIONS.open("rb") as lines:
        servers = parse(lines)
    return Persistence(servers, with_weight_zero=_EXPIRE_QUIESCENT.read_bytes().strip() == b"0")


def parse(lines: Iterable[bytes]) -> dict[Client, Backend]:
    """Read the templates among connections: those without a client's port (ip_vs_sched_persist).

    Lines that are not understood, and connections, of which there may be millions, are left out.
    """
    found: dict[Client, Backend] = {}
    for line in lines:
        words = line.split()
        if len(words) < 9 or words[2] != _NO_PORT:
            continue
        protocol = PROTOCOL_NUMBERS.get(words[0].decode("ascii", "replace").lower())
        client, virtual, real = (_packed(word) for word in words[1:7:2])
        ports = [_packed(word) for word in words[4:7:2]]
        if protocol is None or not (client and virtual and real and all(ports)):
            continue
        port = int.from_bytes(ports[0], "big")
        found[Client(ServerKey(protocol, virtual, port), client)] = real + ports[1]
    return found


def _packed(text: bytes) -> bytes:
    """`0A600001`, `fd00:0000:...:0001` or a port `0050` as bytes; empty when it is none."""
    try:
        packed = bytes.fromhex(text.replace(b":", b"").decode("ascii"))
    except ValueError:
        return b""
    return packed if len(packed) in (2, 4, 16) else b""
