"""What the kernel's IPVS takes and gives (linux/ip_vs.h, linux/genetlink.h)."""

import socket
import struct
from typing import NamedTuple, TypeAlias

from kproxy.kernel.netlink import NLA_F_NESTED, attribute, attributes, nested
from kproxy.services.addresses import Address, format_address

FAMILY_NAME = "IPVS"
VERSION = 1

NEW_SERVICE, SET_SERVICE, DEL_SERVICE, GET_SERVICE = 1, 2, 3, 4
NEW_DEST, SET_DEST, DEL_DEST, GET_DEST = 5, 6, 7, 8
SET_CONFIG, GET_CONFIG, GET_INFO = 12, 13, 15
CMD_SERVICE, CMD_DEST = 1, 2
CMD_TIMEOUT_TCP, CMD_TIMEOUT_TCP_FIN, CMD_TIMEOUT_UDP = 4, 5, 6
_SVC_AF, _SVC_PROTOCOL, _SVC_ADDR, _SVC_PORT, _SVC_FWMARK, _SVC_SCHED, _SVC_FLAGS, _SVC_TIMEOUT, _SVC_NETMASK = range(
    1, 10
)
_DEST_ADDR, _DEST_PORT, _DEST_FORWARD, _DEST_WEIGHT, _DEST_UPPER, _DEST_LOWER, _DEST_ACTIVE, _DEST_INACTIVE = range(
    1, 9
)

PERSISTENT = 0x1
_HASHED = 0x2
FALLBACK = 0x8
"""Of sh and mh: a client whose server is away goes to another one (IP_VS_SVC_F_SCHED1)."""
WITH_PORT = 0x10
"""Of sh and mh: the client's port is hashed along with its address (IP_VS_SVC_F_SCHED2)."""

_MASQUERADE = 0
"""Forwarding by translating the destination (IP_VS_CONN_F_MASQ)."""

GENERIC = struct.Struct("=BBH")
"""struct genlmsghdr: command, version, reserved."""

_U16 = struct.Struct("=H")
_U32 = struct.Struct("=I")
_NEST = NLA_F_NESTED

_IDENTITY = struct.Struct("=HH HHHxx HHHxx HH16s HH2sxx")
_DEST = struct.Struct("=HH HH16s HH2sxx HHI HHI HHI HHI")

Backend: TypeAlias = bytes
"""A real server: its packed address, followed by its port, two bytes in network order."""


class ServerKey(NamedTuple):
    """What identifies a virtual server."""

    protocol: int
    """An IP protocol number."""
    address: Address
    port: int

    def __str__(self) -> str:
        name = {6: "TCP", 17: "UDP", 132: "SCTP"}.get(self.protocol, str(self.protocol))
        return f"virtual server {name} {_authority(self.address, self.port)}"


class ServerSettings(NamedTuple):
    """How a virtual server chooses."""

    scheduler: str
    flags: int = 0
    timeout: int = 0
    """Seconds that a client stays with its real server; means something with `PERSISTENT` only."""


class RealServer(NamedTuple):
    """A real server as the kernel has it."""

    backend: Backend
    weight: int
    connections: int
    """Active and inactive (closing) ones."""
    upper_threshold: int = 0
    """The number of connections above which it gets no new ones, 0 for any; only netlink tells."""


class RealServerName(NamedTuple):
    """For messages about one."""

    key: ServerKey
    backend: Backend

    def __str__(self) -> str:
        address, port = self.backend[:-2], int.from_bytes(self.backend[-2:], "big")
        return f"real server {_authority(address, port)} of {self.key}"


def _authority(address: Address, port: int) -> str:
    text = format_address(address)
    return f"[{text}]:{port}" if len(address) == 16 else f"{text}:{port}"


def identity(key: ServerKey) -> bytes:
    """The attribute that names a virtual server."""
    address = key.address
    return _IDENTITY.pack(
        *(48, CMD_SERVICE | _NEST),
        *(6, _SVC_AF, socket.AF_INET if len(address) == 4 else socket.AF_INET6),
        *(6, _SVC_PROTOCOL, key.protocol),
        *(20, _SVC_ADDR, address),
        *(6, _SVC_PORT, key.port.to_bytes(2, "big")),
    )


def service(key: ServerKey, settings: ServerSettings) -> bytes:
    """The attribute that describes a virtual server in full."""
    return nested(
        CMD_SERVICE,
        identity(key)[4:],
        attribute(_SVC_SCHED, settings.scheduler.encode() + b"\0"),
        attribute(_SVC_FLAGS, struct.pack("=II", settings.flags, 0xFFFFFFFF)),
        attribute(_SVC_TIMEOUT, _U32.pack(settings.timeout)),
        attribute(_SVC_NETMASK, b"\xff\xff\xff\xff" if len(key.address) == 4 else _U32.pack(128)),
    )


def destination(backend: Backend, weight: int, upper_threshold: int = 0) -> bytes:
    """The attribute that describes a real server in full."""
    return _DEST.pack(
        *(64, CMD_DEST | _NEST),
        *(20, _DEST_ADDR, backend[:-2]),
        *(6, _DEST_PORT, backend[-2:]),
        *(8, _DEST_FORWARD, _MASQUERADE),
        *(8, _DEST_WEIGHT, weight),
        *(8, _DEST_UPPER, upper_threshold),
        *(8, _DEST_LOWER, 0),
    )


def read_service(data: memoryview) -> tuple[ServerKey, ServerSettings] | None:
    """Read the attribute of a virtual server; None for one that is known by a packet mark, or is malformed."""
    found = attributes(data)
    try:
        family = _U16.unpack(found[_SVC_AF])[0]
        length = 4 if family == socket.AF_INET else 16
        key = ServerKey(
            _U16.unpack(found[_SVC_PROTOCOL])[0],
            bytes(found[_SVC_ADDR][:length]),
            int.from_bytes(found[_SVC_PORT], "big"),
        )
        flags = _U32.unpack_from(found[_SVC_FLAGS])[0] & ~_HASHED
        timeout = _U32.unpack(found[_SVC_TIMEOUT])[0]
        scheduler = bytes(found[_SVC_SCHED]).rstrip(b"\0").decode(errors="replace")
    except (KeyError, struct.error):
        return None
    return key, ServerSettings(scheduler, flags, timeout if flags & PERSISTENT else 0)


def read_destination(data: memoryview, address_length: int) -> RealServer | None:
    """Read the attribute of a real server; None when it is malformed."""
    found = attributes(data)
    try:
        backend = bytes(found[_DEST_ADDR][:address_length]) + bytes(found[_DEST_PORT])
        active, inactive = _U32.unpack(found[_DEST_ACTIVE])[0], _U32.unpack(found[_DEST_INACTIVE])[0]
        upper_threshold = _U32.unpack(found[_DEST_UPPER])[0]
        return RealServer(backend, _U32.unpack(found[_DEST_WEIGHT])[0], active + inactive, upper_threshold)
    except (KeyError, struct.error):
        return None
