"""Sends a probe and puts together what came of it."""

import errno
import select
import socket
import struct
import time
from contextlib import closing
from typing import NamedTuple

from kproxy.inspect.output import InspectionError
from kproxy.inspect.rulesets.packet import Packet
from kproxy.inspect.rulesets.snapshot import Snapshot
from kproxy.inspect.trace.live import flow
from kproxy.inspect.trace.live.end import Found, outcome
from kproxy.inspect.trace.live.namespaces import call_in, find_namespace
from kproxy.inspect.trace.live.witness import Witness
from kproxy.inspect.trace.report import FateName, View
from kproxy.services.addresses import Address, Family, format_address
from kproxy.services.objects import Protocol

_PATIENCE = 3.0
"""Seconds to wait for an answer."""
_AFTER_DROP = 0.3
"""Seconds to wait for the error that may tell of a drop."""
_PAYLOAD = b"\n"
_KINDS: dict[Protocol, tuple[socket.SocketKind, int]] = {
    "TCP": (socket.SOCK_STREAM, 0),
    "UDP": (socket.SOCK_DGRAM, 0),
    "SCTP": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
_ABORT_ON_CLOSE = struct.pack("ii", 1, 0)


class _Answer(NamedTuple):
    fate: FateName | None
    """None: silence."""
    words: str


def probe(packet: Packet, snapshot: Snapshot | None) -> View:
    """Send the first packet of a connection, and give it up once it was answered.

    Args:
        packet: which; it must come from this node or from a pod on it
        snapshot: of the rules, for the texts of those that the packet meets

    Raises:
        InspectionError: it cannot be sent from here, or the kernel cannot trace it
    """
    with closing(_socket(packet)) as sock:
        source_port: int = sock.getsockname()[1]
        notes: list[str] = []
        try:
            witness = Witness(packet, source_port, snapshot)
        except OSError as error:
            raise InspectionError(f"the kernel cannot trace: {error}") from error
        with witness:
            answer = _send(sock, packet, witness)
            name = flow.FlowName(
                _own_address(sock, packet), source_port, packet.destination, packet.port, packet.protocol
            )
            try:
                translated = flow.look_up(name)
            except OSError as error:
                translated = None
                notes.append(f"connection tracking cannot be asked: {error}")
            witness.hear()
    way = witness.way(name)
    missing = witness.missing(way)
    if not way and not missing:
        notes.append("no rule met the probe")
    if snapshot and snapshot.servers:
        notes.append("IPVS is not traced: its choice is known from the flow alone")
    return View(
        name="live",
        origin=f"a probe from port {source_port}",
        steps=tuple(met.step for met in way),
        outcomes=(outcome(packet, Found(way, not missing, translated, answer.fate)),),
        notes=(*missing, *notes, answer.words),
    )


def _socket(packet: Packet) -> socket.socket:
    def make() -> socket.socket:
        kind, number = _KINDS[packet.protocol]
        family = socket.AF_INET if packet.family is Family.IPV4 else socket.AF_INET6
        sock = socket.socket(family, kind, number)
        try:
            sock.setblocking(False)
            if kind is socket.SOCK_STREAM:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_ON_CLOSE)
            chosen = packet.input_interface != "" or packet.source != packet.destination
            sock.bind((format_address(packet.source) if chosen else "", 0))
        except OSError:
            sock.close()
            raise
        return sock

    try:
        if packet.input_interface == "":
            return make()
        namespace = find_namespace(packet.source)
        if namespace is None:
            raise InspectionError(
                f"a probe can be sent from this node and from pods on it whose processes are visible here; "
                f"{format_address(packet.source)} is neither"
            )
        return call_in(namespace, make)
    except OSError as error:
        raise InspectionError(f"no probe can be sent from {format_address(packet.source)}: {error}") from error


def _own_address(sock: socket.socket, packet: Packet) -> Address:
    text = str(sock.getsockname()[0]).partition("%")[0]
    address = socket.inet_pton(sock.family, text)
    return address if any(address) else packet.source


def _send(sock: socket.socket, packet: Packet, witness: Witness) -> _Answer:
    """Connect, send a byte where the protocol knows no connection, and wait for any answer."""
    try:
        sock.connect((format_address(packet.destination), packet.port))
        if packet.protocol == "UDP":
            sock.send(_PAYLOAD)
    except BlockingIOError:
        pass
    except OSError as error:
        return _failure(error.errno or 0)
    deadline = time.monotonic() + _PATIENCE
    mine, telling = sock.fileno(), witness.filenos()
    to_read, to_write = ([*telling, mine], []) if packet.protocol == "UDP" else (telling, [mine])
    while (left := deadline - time.monotonic()) > 0:
        readable, writable, failed = select.select(to_read, to_write, [mine], left)
        if witness.hear():
            deadline = min(deadline, time.monotonic() + _AFTER_DROP)
        if mine in readable or mine in writable or mine in failed:
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return _failure(number) if number else _Answer("redirected", "the probe was answered")
    return _Answer(None, "nothing answered")


def _failure(number: int) -> _Answer:
    name = errno.errorcode.get(number, str(number))
    if number in (errno.EPERM, errno.EACCES):
        return _Answer("dropped", f"the kernel did not let the probe out ({name})")
    return _Answer("rejected", f"the probe was refused ({name})")
