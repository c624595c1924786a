"""Finding the network namespace of a pod by its address, and calling functions in it."""

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from kproxy.kernel.interface_addresses import list_addresses
from kproxy.services.addresses import Address

_CLONE_NEWNET = 0x40000000
_NAMED = Path("/run/netns")
_PROCESSES = Path("/proc")

_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


def call_in(namespace: Path, call: Callable[[], T]) -> T:
    """Call a function on a thread that has entered a network namespace, and wait for it.

    Raises:
        OSError: the namespace has gone, or may not be entered; or as the function does
    """

    def entered() -> T:
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise OSError(number, f"{namespace}: {os.strerror(number)}")
        finally:
            os.close(descriptor)
        return call()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(entered).result()


def find_namespace(address: Address) -> Path | None:
    """The namespace, other than this thread's, with an interface that has the address; None when none is visible."""
    own = os.stat("/proc/thread-self/ns/net").st_ino  # noqa: PTH116 - of the calling thread, whatever path object says
    seen = {own}
    for path in _candidates():
        try:
            inode = path.stat().st_ino
            if inode in seen:
                continue
            seen.add(inode)
            if any(found.address == address for found in call_in(path, list_addresses)):
                return path
        except OSError:
            continue  # its last process ended meanwhile, or it is not ours to enter
    return None


def _candidates() -> Iterator[Path]:
    if _NAMED.is_dir():
        yield from sorted(_NAMED.iterdir())
    for process in _PROCESSES.iterdir():
        if process.name.isdecimal():
            yield process / "ns" / "net"
