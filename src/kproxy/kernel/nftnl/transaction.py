"""Transactions: a batch of messages that the kernel commits as a whole or refuses as a whole."""

import errno
from collections.abc import Sequence
from typing import NamedTuple

from kproxy.kernel.netlink import (
    HEADER,
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    Acknowledgement,
    NetlinkSocket,
    acknowledgement,
    attributes,
    messages,
)
from kproxy.kernel.nftnl.protocol import (
    BATCH_BEGIN,
    BATCH_END,
    GENERATION_ID,
    GETGEN,
    NEWGEN,
    SUBSYSTEM,
    Message,
    generic,
)


class Refusal(NamedTuple):
    """One message of a batch that the kernel would not take; nothing of the batch took effect."""

    message: Message | None
    """None when the batch failed as a whole."""
    answer: Acknowledgement

    def __str__(self) -> str:
        about = self.message.about if self.message else "the whole batch"
        return f"{about}: {self.answer}"


class Committed(NamedTuple):
    messages: int
    bytes: int


class NftSocket:
    """A socket that commits nf_tables transactions and asks questions, in its thread's network namespace."""

    def __init__(self) -> None:
        """Open.

        Raises:
            OSError: the kernel has no netfilter netlink (EPROTONOSUPPORT)
        """
        self.netlink = NetlinkSocket(NETLINK_NETFILTER)
        self.commits = 0
        """How many transactions it has committed."""

    def close(self) -> None:
        self.netlink.close()

    def commit(self, batch: Sequence[Message]) -> Committed | list[Refusal]:
        """Send a batch and read its answer. An empty batch is not sent.

        Raises:
            OSError: the batch could not be sent at all (EPERM, EMSGSIZE, ENOBUFS)
        """
        if not batch:
            return Committed(0, 0)
        first = self.netlink.next_sequence()
        parts = [_control(BATCH_BEGIN, first)]
        last = len(batch) - 1
        for i, (type_, flags, body, _) in enumerate(batch):
            padding = -len(body) % 4
            if i == last:
                # One acknowledgement says that the commit is done; errors come without being asked for.
                flags |= NLM_F_ACK
            parts += (HEADER.pack(HEADER.size + len(body), type_, flags, self.netlink.next_sequence(), 0), body)
            if padding:
                parts.append(bytes(padding))
        parts.append(_control(BATCH_END, self.netlink.next_sequence()))
        datagram = b"".join(parts)
        self.netlink.send(datagram)
        return self._read_answer(batch, first, len(datagram))

    def _read_answer(self, batch: Sequence[Message], first: int, size: int) -> Committed | list[Refusal]:
        """The kernel has worked the batch off by the time that it was sent; its answers are queued."""
        refusals = []
        wait = True
        while (datagram := self.netlink.receive(wait=wait)) is not None:
            for message in messages(datagram):
                position = (message.sequence - first) & 0xFFFFFFFF
                if message.type != NLMSG_ERROR or position > len(batch) + 1:
                    continue
                wait = False
                answer = acknowledgement(message)
                if answer.error:
                    about = batch[position - 1] if 1 <= position <= len(batch) else None
                    refusals.append(Refusal(about, answer))
        if refusals:
            return refusals
        self.commits += 1
        return Committed(len(batch), size)

    def generation(self) -> int:
        """The number of the rule-set that is in force; every commit, by anybody, counts it up.

        Raises:
            OSError: nf_tables is missing (EOPNOTSUPP, EINVAL) or not permitted (EPERM)
        """
        sequence = self.netlink.next_sequence()
        body = generic(0)
        self.netlink.send(
            HEADER.pack(HEADER.size + len(body), SUBSYSTEM << 8 | GETGEN, NLM_F_REQUEST, sequence, 0) + body
        )
        while True:
            for message in messages(self.netlink.receive() or b""):
                if message.sequence != sequence:
                    continue
                if message.type == NLMSG_ERROR:
                    answer = acknowledgement(message)
                    raise OSError(answer.error or errno.EPROTO, str(answer))
                if message.type == SUBSYSTEM << 8 | NEWGEN:
                    return int.from_bytes(attributes(message.body, 4)[GENERATION_ID], "big")


def _control(type_: int, sequence: int) -> bytes:
    body = generic(0, SUBSYSTEM)
    return HEADER.pack(HEADER.size + len(body), type_, NLM_F_REQUEST, sequence, 0) + body
