"""Network namespaces without a name: a thread lives in each, and they end with the process.

`ip netns add` leaves a mount behind when its maker dies. A namespace that only threads and descriptors of
one process hold is gone with that process, even after SIGKILL, and with it its links, routes and rules.
"""

import ctypes
import errno
import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


def unshare(flags: int) -> None:
    """Give the calling thread namespaces of its own, as os.unshare does from Python 3.12 on.

    Raises:
        OSError: as the kernel says.
    """
    if _libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Namespace:
    """A new network namespace and the thread that lives in it.

    What depends on the namespace of its caller (opening sockets, starting processes, writing sysctls) runs
    on that thread. A socket stays in the namespace it was made in, whoever uses it later.
    """

    def __init__(self, name: str) -> None:
        """Make the namespace, with its loopback still down.

        Raises:
            OSError: the kernel refuses, EPERM without CAP_SYS_ADMIN.
        """
        self.name = name
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"netns-{name}")
        try:
            self.fd = self.run(self._enter_new)
        except OSError:
            self._thread.shutdown()
            raise

    @staticmethod
    def _enter_new() -> int:
        unshare(CLONE_NEWNET)
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def run(self, call: Callable[[], T]) -> T:
        """Call a function inside the namespace and wait for it; it must not block for long."""
        return self._thread.submit(call).result()

    def socket(self, family: int, kind: int, proto: int = 0) -> socket.socket:
        """Open a non-blocking socket in the namespace.

        Raises:
            OSError: as socket(2).
        """

        def opened() -> socket.socket:
            sock = socket.socket(family, kind, proto)
            sock.setblocking(False)
            return sock

        return self.run(opened)

    def set_sysctl(self, key: str, value: int, *, optional: bool = False) -> None:
        """Write a `net.` setting; `key` is its path below /proc/sys/net.

        Args:
            key: such as `ipv4/ip_forward`.
            value: what to write.
            optional: whether a kernel that lacks the setting, or has it outside namespaces only, is fine.

        Raises:
            OSError: it does not exist, or may not be written.
        """
        path = Path("/proc/sys/net", key)
        try:
            self.run(lambda: path.write_text(str(value)))
        except OSError as error:
            if not (optional and error.errno in (errno.ENOENT, errno.EACCES, errno.EPERM)):
                raise

    def close(self) -> None:
        """Let the namespace go. The processes started in it by `Process` are killed by the kernel."""
        self._thread.shutdown()
        os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
