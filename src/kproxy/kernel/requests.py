"""Many requests to the kernel in one datagram, for netlink families whose requests succeed or fail one by one."""

import errno
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kproxy.kernel.netlink import (
    HEADER,
    NLM_F_ACK,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    Acknowledgement,
    NetlinkSocket,
    acknowledgement,
    messages,
)

_AT_ONCE = 2048
"""The kernel queues an answer for each that fails, about a kilobyte of the receive buffer."""


class Request(NamedTuple):
    type: int
    flags: int
    body: bytes
    about: object
    """For whoever explains an error; its `str` is shown."""


class Refusal(NamedTuple):
    """A request that the kernel would not carry out; the others stand."""

    request: Request
    answer: Acknowledgement

    def __str__(self) -> str:
        return f"{self.request.about}: {self.answer}"


class Performed(NamedTuple):
    requests: int
    bytes: int
    refused: tuple[Refusal, ...]


def perform(netlink: NetlinkSocket, requests: Sequence[Request]) -> Performed:
    """Have the kernel carry requests out, in their order, each for itself.

    Raises:
        OSError: they could not be sent, or are not permitted (EPERM)
    """
    size = 0
    refused: list[Refusal] = []
    for start in range(0, len(requests), _AT_ONCE):
        chunk = requests[start : start + _AT_ONCE]
        datagram, last = _encode(netlink, chunk)
        netlink.send(datagram)
        size += len(datagram)
        refused += _refusals(netlink, chunk, last)
    return Performed(len(requests), size, tuple(refused))


def _encode(netlink: NetlinkSocket, requests: Sequence[Request]) -> tuple[bytes, int]:
    parts: list[bytes] = []
    sequence = 0
    last = len(requests) - 1
    for i, (type_, flags, body, _) in enumerate(requests):
        sequence = netlink.next_sequence()
        flags |= NLM_F_REQUEST | NLM_F_ACK if i == last else NLM_F_REQUEST
        parts += (HEADER.pack(HEADER.size + len(body), type_, flags, sequence, 0), body)
    return b"".join(parts), sequence


def _refusals(netlink: NetlinkSocket, requests: Sequence[Request], last: int) -> Iterator[Refusal]:
    """Read answers up to that to the last request, which comes in any case."""
    first = (last - len(requests) + 1) & 0xFFFFFFFF
    while True:
        for message in messages(netlink.receive() or b""):
            position = (message.sequence - first) & 0xFFFFFFFF
            if message.type != NLMSG_ERROR or position >= len(requests):
                continue
            answer = acknowledgement(message)
            if answer.error == errno.EPERM:  # for the datagram; the other requests may get no answer
                raise PermissionError(answer.error, os.strerror(answer.error))
            if answer.error:
                yield Refusal(requests[position], answer)
            if message.sequence == last:
                return
