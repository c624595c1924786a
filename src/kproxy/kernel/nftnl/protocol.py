"""Messages that create, change and delete nf_tables objects."""

import struct
from collections.abc import Sequence
from typing import NamedTuple

from kproxy.kernel.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    attribute,
    be32,
    be64,
    nested,
    text,
)

NFPROTO_IPV4, NFPROTO_IPV6 = 2, 10

SUBSYSTEM = 10
BATCH_BEGIN, BATCH_END = 0x10, 0x11
NEWTABLE, GETTABLE, DELTABLE = 0, 1, 2
NEWCHAIN, GETCHAIN, DELCHAIN = 3, 4, 5
NEWRULE, GETRULE, DELRULE = 6, 7, 8
NEWSET, GETSET, DELSET = 9, 10, 11
NEWSETELEM, GETSETELEM, DELSETELEM = 12, 13, 14
NEWGEN, GETGEN = 15, 16
MULTICAST_GROUP = 7
"""NFNLGRP_NFTABLES (linux/netfilter/nfnetlink.h)."""

TABLE_NAME, TABLE_HANDLE, TABLE_USERDATA = 1, 4, 6
CHAIN_TABLE, CHAIN_NAME, CHAIN_HOOK, CHAIN_POLICY, CHAIN_TYPE, CHAIN_USERDATA = 1, 3, 4, 5, 7, 12
HOOK_NUMBER, HOOK_PRIORITY = 1, 2
RULE_TABLE, RULE_CHAIN, RULE_HANDLE, RULE_EXPRESSIONS, RULE_USERDATA = 1, 2, 3, 4, 7
SET_TABLE, SET_NAME, SET_FLAGS, SET_KEY_TYPE, SET_KEY_LENGTH = 1, 2, 3, 4, 5
SET_DATA_TYPE, SET_DATA_LENGTH, SET_DESCRIPTION, SET_ID, SET_TIMEOUT, SET_USERDATA = 6, 7, 9, 10, 11, 13
DESCRIPTION_SIZE, DESCRIPTION_CONCATENATION, FIELD_LENGTH = 1, 2, 1
ELEMENTS_TABLE, ELEMENTS_SET, ELEMENTS_LIST = 1, 2, 3
ELEMENT_KEY, ELEMENT_DATA, ELEMENT_FLAGS, ELEMENT_KEY_END = 1, 2, 3, 10
LIST_ELEMENT = 1
GENERATION_ID = 1

SET_F_CONSTANT, SET_F_INTERVAL, SET_F_MAP, SET_F_TIMEOUT, SET_F_EVAL, SET_F_CONCATENATION = 2, 4, 8, 0x10, 0x20, 0x80
VERDICT_DATA_TYPE = 0xFFFFFF00

POLICY_ACCEPT = 1
HOOK_PREROUTING, HOOK_INPUT, HOOK_FORWARD, HOOK_OUTPUT, HOOK_POSTROUTING = range(5)

_NFGENMSG = struct.Struct(">BBH")


class Message(NamedTuple):
    """One message of a batch, yet without header."""

    type: int
    flags: int
    body: bytes
    about: object = None
    """What it is about, for whoever reads a refusal."""


def generic(family: int, resource: int = 0) -> bytes:
    """Encode struct nfgenmsg."""
    return _NFGENMSG.pack(family, 0, resource)


def _message(type_: int, flags: int, family: int, *attributes: bytes, about: object) -> Message:
    body = generic(family) + b"".join(attributes)
    return Message(SUBSYSTEM << 8 | type_, NLM_F_REQUEST | flags, body, about)


def comment(type_: int, words: str) -> bytes:
    """User data that nft shows as a comment: one TLV whose type depends on the object."""
    value = words.encode()[:127] + b"\0"
    return bytes((type_, len(value))) + value


def new_table(family: int, name: str, userdata: bytes = b"") -> Message:
    extra = attribute(TABLE_USERDATA, userdata) if userdata else b""
    return _message(NEWTABLE, NLM_F_CREATE, family, text(TABLE_NAME, name), extra, about=f"table {name}")


def delete_table(family: int, name: str) -> Message:
    return _message(DELTABLE, 0, family, text(TABLE_NAME, name), about=f"table {name}")


class Hook(NamedTuple):
    """Where a base chain is attached."""

    type: str
    """`nat` or `filter`."""
    number: int
    priority: int


def new_chain(family: int, table: str, name: str, hook: Hook | None = None, userdata: bytes = b"") -> Message:
    parts = [text(CHAIN_TABLE, table), text(CHAIN_NAME, name)]
    if hook:
        parts += [
            nested(CHAIN_HOOK, be32(HOOK_NUMBER, hook.number), be32(HOOK_PRIORITY, hook.priority)),
            be32(CHAIN_POLICY, POLICY_ACCEPT),
            text(CHAIN_TYPE, hook.type),
        ]
    if userdata:
        parts.append(attribute(CHAIN_USERDATA, userdata))
    return _message(NEWCHAIN, NLM_F_CREATE, family, *parts, about=f"chain {name}")


def delete_chain(family: int, table: str, name: str) -> Message:
    """Delete an empty chain that nothing refers to."""
    return _message(DELCHAIN, 0, family, text(CHAIN_TABLE, table), text(CHAIN_NAME, name), about=f"chain {name}")


def new_rule(family: int, table: str, chain: str, expressions: bytes, userdata: bytes = b"") -> Message:
    """Append a rule."""
    parts = [text(RULE_TABLE, table), text(RULE_CHAIN, chain), nested(RULE_EXPRESSIONS, expressions)]
    if userdata:
        parts.append(attribute(RULE_USERDATA, userdata))
    return _message(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, family, *parts, about=f"rule in chain {chain}")


def flush_chain(family: int, table: str, chain: str) -> Message:
    """Delete all rules of a chain."""
    return _message(DELRULE, 0, family, text(RULE_TABLE, table), text(RULE_CHAIN, chain), about=f"rules of {chain}")


class SetAttributes(NamedTuple):
    """What the kernel holds of a set besides its elements."""

    flags: int
    key_type: int
    key_length: int
    data_type: int = 0
    data_length: int = 0
    timeout: int = 0
    """Milliseconds; 0: elements stay."""


def new_set(
    family: int,
    table: str,
    name: str,
    spec: SetAttributes,
    *,
    identifier: int,
    fields: Sequence[int] = (),
    size: int = 0,
    userdata: bytes = b"",
) -> Message:
    """Create a set or map.

    Args:
        identifier: a number by which the same transaction can name it
        fields: lengths of a concatenated key's fields in bytes, needed where one of them is an interval
        size: how many elements it may hold; 0: no limit
    """
    description = b""
    if size:
        description += be32(DESCRIPTION_SIZE, size)
    if fields and spec.flags & SET_F_CONCATENATION:
        description += nested(
            DESCRIPTION_CONCATENATION, *(nested(LIST_ELEMENT, be32(FIELD_LENGTH, length)) for length in fields)
        )
    parts = [
        text(SET_TABLE, table),
        text(SET_NAME, name),
        be32(SET_FLAGS, spec.flags),
        be32(SET_KEY_TYPE, spec.key_type),
        be32(SET_KEY_LENGTH, spec.key_length),
        be32(SET_ID, identifier),
    ]
    if spec.flags & SET_F_MAP:
        parts.append(be32(SET_DATA_TYPE, spec.data_type))
        if spec.data_type != VERDICT_DATA_TYPE:
            parts.append(be32(SET_DATA_LENGTH, spec.data_length))
    if description:
        parts.append(nested(SET_DESCRIPTION, description))
    if spec.timeout:
        parts.append(be64(SET_TIMEOUT, spec.timeout))
    if userdata:
        parts.append(attribute(SET_USERDATA, userdata))
    return _message(NEWSET, NLM_F_CREATE | NLM_F_EXCL, family, *parts, about=f"set {name}")


def delete_set(family: int, table: str, name: str) -> Message:
    """Delete a set that no rule refers to, with its elements."""
    return _message(DELSET, 0, family, text(SET_TABLE, table), text(SET_NAME, name), about=f"set {name}")


def elements_message(
    family: int, table: str, name: str, encoded: bytes | memoryview, *, delete: bool, about: object
) -> Message:
    """Add (failing if one exists) or delete (failing if one does not) the encoded elements of a set."""
    type_, flags = (DELSETELEM, 0) if delete else (NEWSETELEM, NLM_F_CREATE | NLM_F_EXCL)
    head = text(ELEMENTS_TABLE, table) + text(ELEMENTS_SET, name)
    elements = struct.pack("=HH", 4 + len(encoded), ELEMENTS_LIST | 0x8000)
    body = b"".join((generic(family), head, elements, encoded))
    return Message(SUBSYSTEM << 8 | type_, NLM_F_REQUEST | flags, body, about)
