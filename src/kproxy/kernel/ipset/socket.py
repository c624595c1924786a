"""The socket that makes, fills, lists and removes sets."""

import errno
import struct
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from kproxy.kernel.ipset.elements import Element, SetSpecification, SetType, decode, describe, encode
from kproxy.kernel.netlink import (
    HEADER,
    NETLINK_NETFILTER,
    NLA_F_NESTED,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    NLMSG_ERROR,
    Acknowledgement,
    NetlinkSocket,
    acknowledgement,
    attribute,
    attributes,
    each_attribute,
    messages,
    nested,
    text,
)
from kproxy.kernel.requests import Refusal, Request, perform
from kproxy.services.addresses import Family

_SUBSYSTEM = 6
_PROTOCOL_VERSION = 6
_CREATE, _DESTROY, _FLUSH, _SWAP, _LIST, _ADD, _DELETE, _TYPE = 2, 3, 4, 6, 7, 9, 10, 13
_PROTOCOL, _SETNAME, _TYPENAME, _REVISION, _FAMILY, _DATA, _ADT, _LINENO = 1, 2, 3, 4, 5, 7, 8, 9
_SETNAME2 = _TYPENAME
_PORT_FROM, _PORT_TO, _MAXELEM = 4, 5, 19
_BIG_ENDIAN = 0x4000
_NFPROTO = {Family.IPV4: 2, Family.IPV6: 10}
_ELEMENTS_AT_ONCE = 256
"""In one request; an attribute has room for 64 KiB."""

_ERRORS = {
    4098: "the kernel has no such type of set",
    4099: "too many sets",
    4100: "in use by a rule",
    4103: "no such element, or it exists already",
    4108: "a set of this name is in use by a rule",
    4352: "the set is full",
}
"""enum ipset_errno and, from 4352 on, the types' own (linux/netfilter/ipset/ip_set_hash.h)."""


class SetElements(NamedTuple):
    """What a request is about."""

    specification: SetSpecification
    elements: Sequence[Element]

    def __str__(self) -> str:
        type_, family = self.specification.type, self.specification.family
        shown = ", ".join(describe(type_, family, element) for element in self.elements[:3])
        return f"{shown}{' …' if len(self.elements) > 3 else ''} in set {self.specification.name}"


class ListedSet(NamedTuple):
    """A set as the kernel has it."""

    type: str
    max_elements: int
    """0 for a bitmap."""
    elements: set[Element]


class SetSocket:
    """Sets of the network namespace of the thread that opens it. Used by one thread at a time."""

    def __init__(self) -> None:
        """Open.

        Raises:
            OSError: the kernel has no netfilter netlink (EPROTONOSUPPORT)
        """
        self._netlink = NetlinkSocket(NETLINK_NETFILTER)
        self._revisions: dict[tuple[SetType, Family], int] = {}

    def close(self) -> None:
        self._netlink.close()

    # ------------------------------------------------------------------ elements

    def add(self, sets: Iterable[tuple[SetSpecification, Collection[Element]]]) -> tuple[int, list[Refusal]]:
        """Add elements, in any number of sets; those that are there stay. Returns the bytes sent, and what failed.

        Raises:
            OSError: the requests could not be sent, or are not permitted
        """
        return self._change(_ADD, sets)

    def delete(self, sets: Iterable[tuple[SetSpecification, Collection[Element]]]) -> tuple[int, list[Refusal]]:
        """Delete elements likewise; those that are not there are no error.

        Raises:
            OSError: the requests could not be sent, or are not permitted
        """
        return self._change(_DELETE, sets)

    def _change(
        self, command: int, sets: Iterable[tuple[SetSpecification, Collection[Element]]]
    ) -> tuple[int, list[Refusal]]:
        requests: list[Request] = []
        for specification, elements in sets:
            ordered = list(elements)
            requests += [
                _elements(command, specification, ordered[start : start + _ELEMENTS_AT_ONCE])
                for start in range(0, len(ordered), _ELEMENTS_AT_ONCE)
            ]
        performed = perform(self._netlink, requests)
        refused: list[Refusal] = []
        for refusal in performed.refused:
            about = refusal.request.about
            if isinstance(about, SetElements) and len(about.elements) > 1:
                # The kernel stops at the first that it does not take; one by one, the others are served.
                single = [_elements(command, about.specification, [element]) for element in about.elements]
                refused += perform(self._netlink, single).refused
            else:
                refused.append(refusal)
        return performed.bytes, [_explained(refusal) for refusal in refused]

    # ------------------------------------------------------------------ sets

    def ensure(self, specification: SetSpecification, listed: ListedSet | None) -> None:
        """Make a set what it must be, given what there is; a set that is too small is replaced by a larger one.

        Raises:
            OSError: the kernel cannot make it; or there is one of another type, in use by somebody's rules
        """
        if listed is None:
            self._do(self._creation(specification))
        elif listed.type != specification.type.value:
            self.destroy(specification.name)
            self._do(self._creation(specification))
        elif 0 < listed.max_elements < specification.max_elements:
            larger = specification._replace(name=f"{specification.name[:27]}-new")
            self.destroy(larger.name)
            self._do(self._creation(larger))
            _, refused = self.add([(larger, listed.elements)])
            if refused:
                raise OSError(refused[0].answer.error, str(refused[0]))
            names = (text(_SETNAME, specification.name), text(_SETNAME2, larger.name))
            self._do(_request(_SWAP, *names, about=f"set {specification.name}"))
            self.destroy(larger.name)

    def destroy(self, name: str) -> bool:
        """Remove a set; returns whether there was one.

        Raises:
            OSError: it is in use by a rule
        """
        try:
            # Newer kernels report a missing set only to those who ask for it (flag_exist in ip_set_core.c).
            self._do(_request(_DESTROY, text(_SETNAME, name), about=f"set {name}")._replace(flags=NLM_F_EXCL))
        except FileNotFoundError:
            return False
        return True

    def list(self, specification: SetSpecification) -> ListedSet | None:
        """Read a set with its elements; None when there is none.

        Raises:
            OSError: the kernel has no sets, or does not permit it
        """
        body = _header(_NFPROTO[specification.family]) + text(_SETNAME, specification.name)
        type_, max_elements, elements = "", 0, set()
        try:
            for message in self._netlink.dump(_SUBSYSTEM << 8 | _LIST, body):
                found = attributes(message.body, 4)
                if _TYPENAME in found:
                    type_ = bytes(found[_TYPENAME]).rstrip(b"\0").decode(errors="replace")
                    size = attributes(found.get(_DATA, b"")).get(_MAXELEM)
                    max_elements = int.from_bytes(size, "big") if size is not None else 0
                for _, data in each_attribute(found.get(_ADT, b"")):
                    element = decode(specification.type, specification.family, data)
                    if element is not None:
                        elements.add(element)
        except FileNotFoundError:
            return None
        return ListedSet(type_, max_elements, elements)

    def _creation(self, specification: SetSpecification) -> Request:
        name, type_, family, max_elements = specification
        if type_ is SetType.PORT:
            data = nested(
                _DATA,
                attribute(_PORT_FROM | _BIG_ENDIAN, b"\0\0"),
                attribute(_PORT_TO | _BIG_ENDIAN, b"\xff\xff"),
            )
            number = 0
        else:
            data = nested(_DATA, attribute(_MAXELEM | _BIG_ENDIAN, struct.pack(">I", max_elements)))
            number = _NFPROTO[family]
        return _request(
            _CREATE,
            text(_SETNAME, name),
            text(_TYPENAME, type_.value),
            attribute(_REVISION, bytes((self._revision(type_, family),))),
            attribute(_FAMILY, bytes((number,))),
            data,
            about=f"set {name}",
        )

    def _revision(self, type_: SetType, family: Family) -> int:
        """The newest revision of a type that the kernel has.

        Raises:
            OSError: it has none
        """
        known = self._revisions.get((type_, family))
        if known is None:
            answer = self._ask(_TYPE, text(_TYPENAME, type_.value), attribute(_FAMILY, bytes((_NFPROTO[family],))))
            known = self._revisions[type_, family] = answer[_REVISION][0]
        return known

    def _ask(self, command: int, *attributes_: bytes) -> dict[int, memoryview]:
        sequence = self._netlink.next_sequence()
        body = _header(0) + b"".join(attributes_)
        header = HEADER.pack(HEADER.size + len(body), _SUBSYSTEM << 8 | command, NLM_F_REQUEST, sequence, 0)
        self._netlink.send(header + body)
        while True:
            for message in messages(self._netlink.receive() or b""):
                if message.sequence != sequence:
                    continue
                if message.type == NLMSG_ERROR:
                    raise _error(acknowledgement(message), "sets")
                return attributes(message.body, 4)

    def _do(self, request: Request) -> None:
        for refusal in perform(self._netlink, [request]).refused:
            raise _error(refusal.answer, str(request.about))


def _header(family: int) -> bytes:
    return struct.pack(">BBH", family, 0, 0) + attribute(_PROTOCOL, bytes((_PROTOCOL_VERSION,)))


def _request(command: int, *attributes_: bytes, about: object) -> Request:
    return Request(_SUBSYSTEM << 8 | command, 0, _header(0) + b"".join(attributes_), about)


def _elements(command: int, specification: SetSpecification, elements: Sequence[Element]) -> Request:
    name, type_, family, _ = specification
    encoded = b"".join([encode(type_, family, element) for element in elements])
    about = SetElements(specification, elements)
    if len(elements) == 1:
        return _request(command, text(_SETNAME, name), encoded, about=about)
    line_number = attribute(_LINENO, bytes(4))
    return _request(command, text(_SETNAME, name), line_number, attribute(_ADT | NLA_F_NESTED, encoded), about=about)


def _explained(refusal: Refusal) -> Refusal:
    answer = refusal.answer
    return (
        refusal._replace(answer=answer._replace(detail=_ERRORS[answer.error])) if answer.error in _ERRORS else refusal
    )


def _error(answer: Acknowledgement, about: str) -> OSError:
    return OSError(answer.error or errno.EPROTO, f"{about}: {_ERRORS.get(answer.error, answer)}")
