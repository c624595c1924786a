"""Expressions: the instructions that rules are made of. Each function encodes one."""

from kproxy.kernel.netlink import attribute, be32, be64, nested, text

REG_VERDICT = 0
REG32_00 = 8
"""The first of sixteen 4-byte registers; a longer value fills consecutive ones."""

PAYLOAD_NETWORK, PAYLOAD_TRANSPORT = 1, 2
META_PRIORITY, META_MARK, META_IIFNAME, META_L4PROTO = 2, 3, 6, 16
CT_STATE, CT_STATUS = 0, 2
CT_STATE_NEW, CT_STATUS_DNAT = 8, 0x20
EQUAL, NOT_EQUAL = 0, 1
ACCEPT, DROP, JUMP, GOTO, RETURN = 1, 0, -3, -4, -5
RANDOM, INCREMENT = 1, 0
RTN_LOCAL = 2
DYNSET_ADD, DYNSET_UPDATE, DYNSET_DELETE = 0, 1, 2

_DATA_VALUE, _DATA_VERDICT = 1, 2
_VERDICT_CODE, _VERDICT_CHAIN = 1, 2
_EXPRESSION_NAME, _EXPRESSION_DATA = 1, 2
_LIST_ELEMENT = 1


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(_LIST_ELEMENT, text(_EXPRESSION_NAME, name), nested(_EXPRESSION_DATA, *attributes))


def value(type_: int, data: bytes) -> bytes:
    """A nest that holds plain data."""
    return nested(type_, attribute(_DATA_VALUE, data))


def verdict_data(type_: int, code: int, chain: str = "") -> bytes:
    """A nest that holds a verdict."""
    target = text(_VERDICT_CHAIN, chain) if chain else b""
    return nested(type_, nested(_DATA_VERDICT, be32(_VERDICT_CODE, code), target))


def payload(register: int, base: int, offset: int, length: int) -> bytes:
    return _expression("payload", be32(1, register), be32(2, base), be32(3, offset), be32(4, length))


def meta(register: int, key: int) -> bytes:
    return _expression("meta", be32(1, register), be32(2, key))


def set_meta(register: int, key: int) -> bytes:
    return _expression("meta", be32(2, key), be32(3, register))


def ct(register: int, key: int) -> bytes:
    return _expression("ct", be32(1, register), be32(2, key))


def bitwise(register: int, mask: bytes, xor: bytes) -> bytes:
    """Compute `(register & mask) ^ xor` into the register."""
    return _expression(
        "bitwise", be32(1, register), be32(2, register), be32(3, len(mask)), value(4, mask), value(5, xor)
    )


def compare(register: int, operation: int, data: bytes) -> bytes:
    return _expression("cmp", be32(1, register), be32(2, operation), value(3, data))


def immediate(register: int, data: bytes) -> bytes:
    return _expression("immediate", be32(1, register), value(2, data))


def verdict(code: int, chain: str = "") -> bytes:
    return _expression("immediate", be32(1, REG_VERDICT), verdict_data(2, code, chain))


def lookup(set_name: str, register: int, *, result: int | None = None, inverted: bool = False) -> bytes:
    """Match (or, inverted, do not) when the key in the register is in the set; a map puts its data into `result`."""
    parts = [text(1, set_name), be32(2, register)]
    if result is not None:
        parts.append(be32(3, result))
    if inverted:
        parts.append(be32(5, 1))
    return _expression("lookup", *parts)


def dynset(set_name: str, operation: int, key: int, *, data: int | None = None, timeout: int = 0) -> bytes:
    """Add, update or delete an element from the packet path; the timeout is in milliseconds."""
    parts = [text(1, set_name), be32(3, operation), be32(4, key)]
    if data is not None:
        parts.append(be32(5, data))
    if timeout:
        parts.append(be64(6, timeout))
    return _expression("dynset", *parts)


def numgen(register: int, modulus: int, kind: int) -> bytes:
    return _expression("numgen", be32(1, register), be32(2, modulus), be32(3, kind), be32(4, 0))


def jhash(register: int, length: int, modulus: int, seed: int) -> bytes:
    """Hash the value in the register into a number below the modulus, in the same register (Jenkins' hash)."""
    jenkins = 0
    parts = be32(1, register), be32(2, register), be32(3, length), be32(4, modulus), be32(5, seed), be32(7, jenkins)
    return _expression("hash", *parts)


def fib_address_type(register: int, flags: int) -> bytes:
    address_type = 3
    return _expression("fib", be32(1, register), be32(2, address_type), be32(3, flags))


FIB_SADDR = 1


def dnat(family: int, address: int, port: int) -> bytes:
    """Rewrite the destination to the address and port in the registers."""
    destination = 1
    registers = be32(3, address), be32(4, address), be32(5, port), be32(6, port)
    return _expression("nat", be32(1, destination), be32(2, family), *registers)


def masquerade(flags: int) -> bytes:
    return _expression("masq", be32(1, flags))


MASQUERADE_FULLY_RANDOM = 0x10


def reject_port_unreachable(family_code: int) -> bytes:
    """Answer with an ICMP (code 3) or ICMPv6 (code 4) `port unreachable`."""
    return _expression("reject", be32(1, 0), attribute(2, bytes((family_code,))))
