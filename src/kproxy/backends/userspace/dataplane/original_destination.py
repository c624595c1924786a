"""Where a redirected connection was sent to, which connection tracking remembers.

linux/netfilter_ipv4.h, linux/netfilter_ipv6/ip6_tables.h: SO_ORIGINAL_DST answers with a sockaddr.
"""

import socket

_SO_ORIGINAL_DST = 80
_SOCKADDR = {4: 16, 6: 28}
"""Bytes of struct sockaddr_in and sockaddr_in6."""


def original_destination(connection: socket.socket, family: int) -> bytes | None:
    """Packed address and port, two bytes in network order; None for a connection that nobody tracks.

    Args:
        connection: an accepted one
        family: 4 or 6
    """
    level = socket.IPPROTO_IP if family == 4 else socket.IPPROTO_IPV6
    try:
        raw = connection.getsockopt(level, _SO_ORIGINAL_DST, _SOCKADDR[family])
    except OSError:
        return None
    return raw[4:8] + raw[2:4] if family == 4 else raw[8:24] + raw[2:4]
