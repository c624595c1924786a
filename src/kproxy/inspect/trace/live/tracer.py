"""Has nf_tables tell of every rule that a flow's packets meet (`meta nftrace`, linux/netfilter/nf_tables.h).

The rules that ask for it are in a table that belongs to this process's socket (NFT_TABLE_F_OWNER): the kernel
deletes it when the socket is closed, also when the process is killed.
"""

import errno
import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from kproxy.inspect.rulesets.packet import PROTOCOL_NUMBERS
from kproxy.inspect.trace.live.headers import Header, read_header
from kproxy.kernel.netlink import NETLINK_NETFILTER, NetlinkSocket, attributes, be32, messages
from kproxy.kernel.nftnl import expressions as x
from kproxy.kernel.nftnl import protocol
from kproxy.kernel.nftnl.protocol import HOOK_OUTPUT, HOOK_PREROUTING, Hook, Message
from kproxy.kernel.nftnl.transaction import NftSocket
from kproxy.services.addresses import Address
from kproxy.services.objects import Protocol

_TABLE = "kproxy-trace"
_FIRST = -1000
"""Before every other chain, so that their rules are told of too."""
_TABLE_FLAGS, _OWNER = 2, 0x2
_META_NFTRACE = 12
_GROUP = 9
"""NFNLGRP_NFTRACE."""
_TRACE = protocol.SUBSYSTEM << 8 | 17
_TRACE_TABLE, _TRACE_CHAIN, _TRACE_HANDLE, _TRACE_TYPE, _TRACE_VERDICT, _TRACE_ID = 1, 2, 3, 4, 5, 6
_TRACE_NETWORK, _TRACE_TRANSPORT, _TRACE_POLICY = 8, 9, 16
_POLICY, _RETURN, _RULE = 1, 2, 3
_NFPROTO = {4: 2, 16: 10}
_FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}
_DESTINATION_OFFSET = {4: 16, 16: 24}
_VERDICTS = {-5: "return", -4: "goto", -3: "jump", -2: "break", -1: "continue", 0: "drop", 1: "accept", 2: "stolen"}


class Told(NamedTuple):
    """One thing that the kernel told."""

    packet: int
    """The same for all that is told of one packet."""
    family: str
    table: str
    chain: str
    handle: int
    """Of the rule; 0: the end of the chain."""
    verdict: str
    target: str
    """The chain that it jumps or goes to."""
    policy: bool
    """The verdict is the chain's policy."""
    header: Header | None = None
    """Of the packet; told once for each call of a base chain."""


class Tracer:
    """Traces one flow for the length of a block, in the network namespace of the calling thread."""

    def __init__(self, destination: Address, port: int, protocol_: Protocol, source_port: int) -> None:
        """Begin.

        Args:
            destination: where the flow's packets are sent
            port: the port there
            protocol_: the transport
            source_port: by which the flow is told from others to the same place

        Raises:
            OSError: the kernel has no nf_tables, or this process may not use it
        """
        self._listener = NetlinkSocket(NETLINK_NETFILTER)
        self._owner = NftSocket()
        try:
            self._listener.join(_GROUP)
            self._install(destination, port, protocol_, source_port)
        except OSError:
            self.close()
            raise

    def _install(self, destination: Address, port: int, protocol_: Protocol, source_port: int) -> None:
        proto = _NFPROTO[len(destination)]
        match = (
            x.payload(x.REG32_00, x.PAYLOAD_NETWORK, _DESTINATION_OFFSET[len(destination)], len(destination))
            + x.compare(x.REG32_00, x.EQUAL, destination)
            + x.meta(x.REG32_00, x.META_L4PROTO)
            + x.compare(x.REG32_00, x.EQUAL, bytes((PROTOCOL_NUMBERS[protocol_.lower()],)))
            + x.payload(x.REG32_00, x.PAYLOAD_TRANSPORT, 0, 4)
            + x.compare(x.REG32_00, x.EQUAL, struct.pack(">HH", source_port, port))
            + x.immediate(x.REG32_00, b"\1")
            + x.set_meta(x.REG32_00, _META_NFTRACE)
        )
        # A name of its own for each process: an owned table cannot be shared, and two people may trace at a time.
        name = f"{_TABLE}-{os.getpid()}"
        table = protocol.new_table(proto, name)
        batch: list[Message] = [table._replace(body=table.body + be32(_TABLE_FLAGS, _OWNER))]
        for chain, hook in (("prerouting", HOOK_PREROUTING), ("output", HOOK_OUTPUT)):
            batch.append(protocol.new_chain(proto, name, chain, Hook("filter", hook, _FIRST)))
            batch.append(protocol.new_rule(proto, name, chain, match))
        result = self._owner.commit(batch)
        if isinstance(result, list):
            number = result[0].answer.error or errno.EIO
            raise OSError(number, f"tracing cannot be switched on: {result[0]}")

    def fileno(self) -> int:
        """Readable when something is told."""
        return self._listener.fileno()

    def told(self) -> Iterator[Told]:
        """What is queued; our own rules are left out."""
        while (datagram := self._listener.receive(wait=False)) is not None:
            for message in messages(datagram):
                if message.type == _TRACE and (read := _read(message.body)) is not None:
                    yield read

    def close(self) -> None:
        """Stop tracing; the kernel deletes the table."""
        self._owner.close()
        self._listener.close()

    def __enter__(self) -> "Tracer":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _read(body: memoryview) -> Told | None:
    found = attributes(body, 4)
    table, chain = _text(found.get(_TRACE_TABLE)), _text(found.get(_TRACE_CHAIN))
    if table.startswith(_TABLE):
        return None
    type_ = _number(found.get(_TRACE_TYPE))
    verdict = attributes(found.get(_TRACE_VERDICT, b""))
    code = _signed(verdict.get(1)) if type_ != _POLICY else _signed(found.get(_TRACE_POLICY))
    return Told(
        packet=_number(found.get(_TRACE_ID)),
        family=_FAMILIES.get(body[0], str(body[0])),
        table=table,
        chain=chain,
        handle=_number(found.get(_TRACE_HANDLE)) if type_ == _RULE else 0,
        verdict=_VERDICTS.get(code, str(code)),
        target=_text(verdict.get(2)),
        policy=type_ == _POLICY,
        header=read_header(bytes(found.get(_TRACE_NETWORK, b"")) + bytes(found.get(_TRACE_TRANSPORT, b""))),
    )


def _text(value: memoryview | None) -> str:
    return bytes(value or b"").rstrip(b"\0").decode(errors="replace")


def _number(value: memoryview | None) -> int:
    return int.from_bytes(value or b"", "big")


def _signed(value: memoryview | None) -> int:
    return int.from_bytes(value or b"", "big", signed=True)
