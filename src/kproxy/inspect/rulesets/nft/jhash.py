"""Jenkins' hash as the kernel has it (linux/jhash.h), by which `jhash` spreads connections."""

from kproxy.services.addresses import Address

_INITIAL = 0xDEADBEEF
_MASK = 0xFFFFFFFF


def jhash(key: Address, seed: int) -> int:
    """The hash of some bytes, 32 bits; the kernel reads words in the machine's byte order, little-endian here."""
    length = len(key)
    a = b = c = (_INITIAL + length + seed) & _MASK
    position = 0
    while length - position > 12:
        a, b, c = _mix(
            (a + _word(key, position)) & _MASK,
            (b + _word(key, position + 4)) & _MASK,
            (c + _word(key, position + 8)) & _MASK,
        )
        position += 12
    rest = key[position:]
    if not rest:
        return c
    padded = rest.ljust(12, b"\0")
    return _final((a + _word(padded, 0)) & _MASK, (b + _word(padded, 4)) & _MASK, (c + _word(padded, 8)) & _MASK)


def _word(key: bytes, position: int) -> int:
    return int.from_bytes(key[position : position + 4], "little")


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _MASK) ^ _rotate(c, bits)
        c = (c + b) & _MASK
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    c = ((c ^ b) - _rotate(b, 14)) & _MASK
    a = ((a ^ c) - _rotate(c, 11)) & _MASK
    b = ((b ^ a) - _rotate(a, 25)) & _MASK
    c = ((c ^ b) - _rotate(b, 16)) & _MASK
    a = ((a ^ c) - _rotate(c, 4)) & _MASK
    b = ((b ^ a) - _rotate(a, 14)) & _MASK
    return ((c ^ b) - _rotate(b, 24)) & _MASK
