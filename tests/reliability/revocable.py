"""`kube-proxy` with a CAP_NET_ADMIN that SIGUSR1 takes away while it runs, and SIGUSR2 gives back.

Capabilities belong to threads (capabilities(7)): each that works for the proxy is told before it does its next work.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType
from typing import Any

from kproxy.cli.kube_proxy import run
from kproxy.lab.privileges import CAP_NET_ADMIN

_VERSION_3 = 0x20080522
"""_LINUX_CAPABILITY_VERSION_3 (linux/capability.h)."""
_libc = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


class Capability:
    """What this process may, as far as it is about CAP_NET_ADMIN."""

    granted = True

    def apply(self) -> None:
        """Have this thread may what the process may."""
        header, sets = _Header(_VERSION_3, 0), (_Sets * 2)()
        self._check(_libc.capget(ctypes.byref(header), sets))
        bit = 1 << CAP_NET_ADMIN
        sets[0].effective = sets[0].effective | bit if self.granted else sets[0].effective & ~bit
        self._check(_libc.capset(ctypes.byref(header), sets))

    def take(self, number: int, frame: FrameType | None) -> None:
        self.granted = False
        self.apply()

    def give_back(self, number: int, frame: FrameType | None) -> None:
        self.granted = True
        self.apply()

    @staticmethod
    def _check(result: int) -> None:
        if result != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main() -> int:
    capability = Capability()
    submit = ThreadPoolExecutor.submit

    def submit_checked(pool: ThreadPoolExecutor, call: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        def checked() -> Any:
            capability.apply()
            return call(*args, **named)

        return submit(pool, checked)

    ThreadPoolExecutor.submit = submit_checked  # type: ignore[assignment, method-assign]
    signal.signal(signal.SIGUSR1, capability.take)
    signal.signal(signal.SIGUSR2, capability.give_back)
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
