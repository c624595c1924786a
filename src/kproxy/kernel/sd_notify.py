"""Telling the service manager how this process fares (sd_notify(3)): a datagram to a socket that it names."""

import os
import socket
import time
from collections.abc import MutableMapping


class ServiceManager:
    """systemd, or whatever else set NOTIFY_SOCKET; where nothing did, every method does nothing."""

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        """Prepare to notify.

        Args:
            address: a path, or `@` and a name in the abstract namespace; empty: nobody wants to know
            watchdog: seconds of silence after which the manager takes this process for hung; None: it does not
        """
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.watchdog = watchdog

    @property
    def listens(self) -> bool:
        """Whether there is anybody to notify."""
        return bool(self._address)

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str] = os.environ) -> "ServiceManager":
        """Read what the manager has set, and remove it, lest a child process speak for this one."""
        address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        process = environment.pop("WATCHDOG_PID", "")
        ours = process in {"", str(os.getpid())}
        valid = microseconds.isascii() and microseconds.isdecimal() and int(microseconds) > 0
        return cls(address, int(microseconds) / 1e6 if address and valid and ours else None)

    def ready(self, status: str) -> None:
        """The start, or a reload, is complete.

        Args:
            status: a line for `systemctl status`

        Raises:
            OSError: the manager's socket is gone, or full
        """
        self._notify("READY=1", f"STATUS={_line(status)}")

    def status(self, status: str) -> None:
        """Show a line in `systemctl status`. Raises as `ready` does."""
        self._notify(f"STATUS={_line(status)}")

    def reloading(self) -> None:
        """The configuration is being read anew, until `ready` is called. Raises as `ready` does."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._notify("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """The end has begun. Raises as `ready` does."""
        self._notify("STOPPING=1")

    def alive(self) -> None:
        """Keep the watchdog quiet. Raises as `ready` does."""
        self._notify("WATCHDOG=1")

    def _notify(self, *assignments: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
            sender.connect(self._address)
            sender.send("\n".join(assignments).encode())


def _line(status: str) -> str:
    return " ".join(status.split())
