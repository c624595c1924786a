"""Listening sockets for the ports that this proxy itself answers on."""

import errno
import socket

from kproxy.services.addresses import Address

ANY = bytes(16)
"""Every address, of both families."""
_WILDCARDS = (bytes(4), ANY)


def listening_socket(address: Address, port: int) -> socket.socket:
    """Listen at an address; at both families' where the kernel has IPv6, when the address is any of either family.

    Raises:
        OSError: the port is taken, or the address is not this node's
    """
    if address not in _WILDCARDS:
        return _bound(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address, port, only_ipv6=True)
    try:
        return _bound(socket.AF_INET6, ANY, port, only_ipv6=False)
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
    return _bound(socket.AF_INET, bytes(4), port, only_ipv6=True)


def _bound(family: socket.AddressFamily, address: Address, port: int, *, only_ipv6: bool) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
        listening.bind((socket.inet_ntop(family, address), port))
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening
