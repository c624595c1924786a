"""The socket that changes virtual servers and asks for them."""

import errno
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kproxy.kernel.generic_netlink import NETLINK_GENERIC, family_number
from kproxy.kernel.ipvs import protocol
from kproxy.kernel.ipvs.protocol import (
    Backend,
    RealServer,
    RealServerName,
    ServerKey,
    ServerSettings,
    read_destination,
    read_service,
)
from kproxy.kernel.netlink import NetlinkSocket, attribute, attributes
from kproxy.kernel.requests import Performed, Refusal, Request, perform

_NOT_FOUND = (errno.ENOENT, errno.ESRCH)
_DELETIONS = (protocol.DEL_SERVICE, protocol.DEL_DEST)
_NO_ADDRESS = bytes(16)


class Timeouts(NamedTuple):
    """How long idle connections are remembered, in seconds; 0 leaves the kernel's value."""

    tcp: int = 0
    tcp_fin: int = 0
    udp: int = 0


class IpvsSocket:
    """Virtual servers of the network namespace of the thread that opens it. Used by one thread at a time."""

    def __init__(self) -> None:
        """Open.

        Raises:
            OSError: the kernel has no IPVS (ENOENT)
        """
        self._netlink = NetlinkSocket(NETLINK_GENERIC)
        try:
            self._type = family_number(self._netlink, protocol.FAMILY_NAME)
        except OSError:
            self._netlink.close()
            raise
        self._headers = {
            command: protocol.GENERIC.pack(command, protocol.VERSION, 0) for command in range(1, protocol.GET_INFO + 1)
        }

    def close(self) -> None:
        self._netlink.close()

    # ------------------------------------------------------------------ changes

    def add_server(self, key: ServerKey, settings: ServerSettings) -> Request:
        return self._request(protocol.NEW_SERVICE, protocol.service(key, settings), key)

    def change_server(self, key: ServerKey, settings: ServerSettings) -> Request:
        return self._request(protocol.SET_SERVICE, protocol.service(key, settings), key)

    def delete_server(self, key: ServerKey) -> Request:
        """A request to delete a virtual server, its real servers included."""
        return self._request(protocol.DEL_SERVICE, protocol.identity(key), key)

    def add_backend(self, key: ServerKey, backend: Backend, weight: int = 1) -> Request:
        return self._destination(protocol.NEW_DEST, key, backend, weight)

    def set_weight(self, key: ServerKey, backend: Backend, weight: int, upper_threshold: int = 0) -> Request:
        return self._destination(protocol.SET_DEST, key, backend, weight, upper_threshold)

    def delete_backend(self, key: ServerKey, backend: Backend) -> Request:
        return self._destination(protocol.DEL_DEST, key, backend, 0)

    def _destination(
        self, command: int, key: ServerKey, backend: Backend, weight: int, upper_threshold: int = 0
    ) -> Request:
        body = protocol.identity(key) + protocol.destination(backend, weight, upper_threshold)
        return self._request(command, body, RealServerName(key, backend))

    def _request(self, command: int, attributes_: bytes, about: object) -> Request:
        return Request(self._type, 0, self._headers[command] + attributes_, about)

    def perform(self, requests: Sequence[Request]) -> Performed:
        """Carry requests out; to delete what is not there is no error.

        Raises:
            OSError: they could not be sent, or are not permitted
        """
        performed = perform(self._netlink, requests)
        if performed.refused:
            performed = performed._replace(refused=tuple(r for r in performed.refused if not _was_gone(r)))
        return performed

    # ------------------------------------------------------------------ questions

    def servers(self) -> Iterator[tuple[ServerKey, ServerSettings]]:
        """Every virtual server but those for packet marks.

        Raises:
            OSError: not permitted (EPERM)
        """
        for body in self._dump(protocol.GET_SERVICE, b""):
            data = attributes(body, protocol.GENERIC.size).get(protocol.CMD_SERVICE)
            server = read_service(data) if data is not None else None
            if server:
                yield server

    def real_servers(self, key: ServerKey) -> list[RealServer]:
        """The real servers of one virtual server; none when there is no such virtual server.

        Raises:
            OSError: not permitted (EPERM)
        """
        found = []
        for body in self._dump(protocol.GET_DEST, protocol.identity(key)):
            data = attributes(body, protocol.GENERIC.size).get(protocol.CMD_DEST)
            server = read_destination(data, len(key.address)) if data is not None else None
            if server:
                found.append(server)
        return found

    def _dump(self, command: int, body: bytes) -> Iterator[memoryview]:
        for message in self._netlink.dump(self._type, self._headers[command] + body):
            yield message.body

    def has_scheduler(self, name: str) -> bool:
        """Whether the kernel has a scheduler; it loads the module on the way, where it may.

        It is asked for a virtual server that it must refuse, as no IPv6 netmask has length 0: what it looks for first
        is the scheduler, and it says ENOENT when there is none (net/netfilter/ipvs/ip_vs_ctl.c, ip_vs_add_service).

        Raises:
            OSError: not permitted (EPERM)
        """
        key = ServerKey(6, _NO_ADDRESS, 1)
        impossible = protocol.service(key, ServerSettings(name))[:-4] + struct.pack("=I", 0)
        performed = self.perform([self._request(protocol.NEW_SERVICE, impossible, key)])
        if not performed.refused:
            self.perform([self.delete_server(key)])
        return not any(refusal.answer.error in _NOT_FOUND for refusal in performed.refused)

    def set_timeouts(self, timeouts: Timeouts) -> None:
        """Set how long idle connections are remembered.

        Raises:
            OSError: the kernel refuses
        """
        types = (protocol.CMD_TIMEOUT_TCP, protocol.CMD_TIMEOUT_TCP_FIN, protocol.CMD_TIMEOUT_UDP)
        body = b"".join(
            attribute(type_, struct.pack("=I", value)) for type_, value in zip(types, timeouts, strict=True)
        )
        performed = self.perform([self._request(protocol.SET_CONFIG, body, "IPVS timeouts")])
        if performed.refused:
            refusal = performed.refused[0]
            raise OSError(refusal.answer.error, str(refusal))


def _was_gone(refusal: Refusal) -> bool:
    return refusal.request.body[0] in _DELETIONS and refusal.answer.error in _NOT_FOUND
