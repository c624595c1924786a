"""One question to a name server over UDP (RFC 1035): enough to see whether cluster DNS knows a Service."""

import secrets
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from kproxy.services.addresses import Address, Family, format_address

_TYPES = {Family.IPV4: 1, Family.IPV6: 28}
_HEADER = struct.Struct(">HHHHHH")
_RECURSION_DESIRED = 0x0100
_CODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 5: "REFUSED"}
_TIMEOUT = 2.0
_PORT = 53
_MOST_BYTES = 4096
_POINTER = 0xC0
_LONGEST_LABEL = 63


class DnsAnswer(NamedTuple):
    addresses: tuple[Address, ...]
    problem: str
    """Why there are none, in words; empty when the server answered."""


def resolve(server: str, name: str, family: Family, *, port: int = _PORT, seconds: float = _TIMEOUT) -> DnsAnswer:
    """Ask a server for a name's addresses.

    Args:
        server: an IP address
        name: a domain name, without the final dot
        family: whose records
        port: the server's
        seconds: how long to wait
    """
    try:
        question = _encode_name(name) + struct.pack(">HH", _TYPES[family], 1)
    except ValueError:
        return DnsAnswer((), f"{name!r} is no domain name")
    identifier = secrets.randbelow(1 << 16)
    query = _HEADER.pack(identifier, _RECURSION_DESIRED, 1, 0, 0, 0) + question
    kind = socket.AF_INET6 if ":" in server else socket.AF_INET
    try:
        with socket.socket(kind, socket.SOCK_DGRAM) as sock:
            sock.settimeout(seconds)
            sock.connect((server, port))
            sock.send(query)
            while True:
                answer = sock.recv(_MOST_BYTES)
                if len(answer) >= _HEADER.size and _HEADER.unpack_from(answer)[0] == identifier:
                    return _read(answer, family)
    except TimeoutError:
        return DnsAnswer((), f"{server} does not answer within {seconds:g} s")
    except OSError as error:
        return DnsAnswer((), f"{server} cannot be asked: {error.strerror or error}")


def _encode_name(name: str) -> bytes:
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".")]
    if not all(0 < len(label) <= _LONGEST_LABEL for label in labels):
        raise ValueError(name)
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _read(answer: bytes, family: Family) -> DnsAnswer:
    _, flags, questions, answers, _, _ = _HEADER.unpack_from(answer)
    if code := flags & 0xF:
        return DnsAnswer((), _CODES.get(code, f"code {code}"))
    found: list[Address] = []
    try:
        offset = _HEADER.size
        for _ in range(questions):
            offset = _skip_name(answer, offset) + 4
        for _ in range(answers):
            offset = _skip_name(answer, offset)
            type_, _, _, length = struct.unpack_from(">HHIH", answer, offset)
            offset += 10
            if type_ == _TYPES[family] and length == family.length:
                found.append(answer[offset : offset + length])
            offset += length
    except (struct.error, IndexError):
        return DnsAnswer((), "the answer is malformed")
    return DnsAnswer(tuple(found), "" if found else f"no {family.value} address")


def _skip_name(answer: bytes, offset: int) -> int:
    while length := answer[offset]:
        if length & _POINTER == _POINTER:
            return offset + 2
        offset += length + 1
    return offset + 1


def name_servers(path: Path = Path("/etc/resolv.conf")) -> list[str]:
    """The servers that the node itself asks (resolv.conf(5))."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [words[1] for line in lines if len(words := line.split()) > 1 and words[0] == "nameserver"]


def describe(answer: DnsAnswer) -> str:
    """An answer in words."""
    return ", ".join(map(format_address, answer.addresses)) or answer.problem
