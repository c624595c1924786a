"""Real servers that say who they are, and clients that ask through a virtual server."""

import contextlib
import selectors
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator, Sequence

PORT = 8080
TIMEOUT = 20.0
"""Seconds; emulated machines are slow."""


def add_addresses(*addresses: str) -> None:
    """Give the loopback addresses."""
    for address in addresses:
        arguments = ["ip", "address", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo"]
        subprocess.run([*arguments, *(["nodad"] if ":" in address else [])], check=True)


@contextlib.contextmanager
def real_servers(addresses: Sequence[str], protocol: int = socket.IPPROTO_TCP) -> Iterator[None]:
    """Serve on local addresses: whoever connects is told the address, and may stay."""
    add_addresses(*addresses)
    selector = selectors.DefaultSelector()
    stop, stopped = socket.socketpair()
    selector.register(stopped, selectors.EVENT_READ)
    for address in addresses:
        kind = socket.SOCK_DGRAM if protocol == socket.IPPROTO_UDP else socket.SOCK_STREAM
        listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, PORT))
        if kind == socket.SOCK_STREAM:
            listener.listen(64)
        selector.register(listener, selectors.EVENT_READ, address.encode())
    thread = threading.Thread(target=_serve, args=(selector, stopped), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.send(b".")
        thread.join()
        for key in list(selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        stop.close()
        selector.close()


def _serve(selector: selectors.BaseSelector, stopped: socket.socket) -> None:
    while True:
        for key, _ in selector.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if sock is stopped:
                return
            if sock.type == socket.SOCK_DGRAM:
                _, client = sock.recvfrom(64)
                sock.sendto(key.data, client)
            elif key.data is not None:
                connection, _ = sock.accept()
                connection.send(key.data)
                selector.register(connection, selectors.EVENT_READ)
            else:
                data = sock.recv(64)
                if data:
                    sock.send(data)
                else:
                    selector.unregister(sock)
                    sock.close()


def connect(address: str, port: int = 80, *, source: str | None = None, protocol: int = 0) -> tuple[socket.socket, str]:
    """Connect; returns the connection, and who answered."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, protocol)
    sock.settimeout(TIMEOUT)
    if source:
        sock.bind((source, 0))
    sock.connect((address, port))
    return sock, sock.recv(64).decode()


def ask(address: str, port: int = 80) -> str:
    """Who answers a datagram from a port of its own."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT)
        sock.sendto(b"?", (address, port))
        return sock.recv(64).decode()


def answers(address: str, count: int, *, sources: Sequence[str | None] = (None,)) -> Counter[str]:
    """Who answers to so many connections one after the other, from the sources in turn."""
    found: Counter[str] = Counter()
    for i in range(count):
        sock, name = connect(address, source=sources[i % len(sources)])
        sock.close()
        found[name] += 1
    return found
