"""Endpoints of the userspace benchmark: `python -m kproxy.bench.userspace_peers BULK_PORT ECHO_PORT`."""

import select
import socket
import sys
import threading

_READ = 1 << 20
_MESSAGE = 1 << 16
_BACKLOG = 4096


def _bulk(port: int) -> None:
    """Read each connection to its end, one after the other, and answer with the number of bytes."""
    buffer = bytearray(_READ)
    with socket.create_server(("127.0.0.1", port), backlog=_BACKLOG) as listening:
        while True:
            connection, _ = listening.accept()
            with connection:
                count = 0
                while got := connection.recv_into(buffer):
                    count += got
                connection.sendall(count.to_bytes(8, "big"))


def _echo(port: int) -> None:
    """Answer every message with itself, on any number of connections."""
    connections: dict[int, socket.socket] = {}
    epoll = select.epoll()
    with socket.create_server(("127.0.0.1", port), backlog=_BACKLOG) as listening:
        epoll.register(listening, select.EPOLLIN)
        while True:
            for descriptor, _ in epoll.poll():
                if descriptor == listening.fileno():
                    connection, _ = listening.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connections[connection.fileno()] = connection
                    epoll.register(connection, select.EPOLLIN)
                    continue
                connection = connections[descriptor]
                try:
                    message = connection.recv(_MESSAGE)
                except ConnectionError:
                    message = b""
                if message:
                    connection.sendall(message)
                else:
                    del connections[descriptor]
                    connection.close()


def main() -> None:
    """Serve until killed."""
    threading.Thread(target=_bulk, args=(int(sys.argv[1]),), daemon=True).start()
    _echo(int(sys.argv[2]))


if __name__ == "__main__":
    main()
