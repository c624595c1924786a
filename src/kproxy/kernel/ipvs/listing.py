"""All real servers at once, from /proc/net/ip_vs: netlink lists those of one virtual server a request."""

from pathlib import Path

from kproxy.kernel.ipvs.protocol import RealServer, ServerKey

_LISTING = Path("/proc/thread-self/net/ip_vs")
"""Of the network namespace of the calling thread."""
_PROTOCOLS = {b"TCP": 6, b"UDP": 17, b"SCTP": 132}


def read_real_servers() -> dict[ServerKey, list[RealServer]]:
    """Every virtual server's real servers.

    The kernel writes a page at a time: what changes meanwhile may be missing or old.

    Raises:
        OSError: the kernel has no IPVS
    """
    return parse(_LISTING.read_bytes())


def parse(listing: bytes) -> dict[ServerKey, list[RealServer]]:
    """Read what the file holds; lines that are not understood are left out."""
    found: dict[ServerKey, list[RealServer]] = {}
    current: list[RealServer] = []
    for line in listing.split(b"\n"):
        words = line.split()
        if len(words) == 6 and words[0] == b"->":
            if (backend := _authority(words[1])) is not None and words[3].isdigit():
                current.append(RealServer(backend, int(words[3]), int(words[4]) + int(words[5])))
        elif len(words) >= 3:
            # Also for what is not understood, whose real servers must not be taken for another's.
            current = []
            protocol, address = _PROTOCOLS.get(words[0]), _authority(words[1])
            if protocol is not None and address is not None:
                found[ServerKey(protocol, address[:-2], int.from_bytes(address[-2:], "big"))] = current
    return found


def _authority(text: bytes) -> bytes | None:
    """`0A600001:0050` or `[fd00:0000:...:0001]:0050` as packed address and port."""
    address, colon, port = text.rpartition(b":")
    try:
        packed = bytes.fromhex((address.strip(b"[]").replace(b":", b"") + port).decode("ascii"))
    except ValueError:
        return None
    return packed if colon and len(packed) in (6, 18) else None
