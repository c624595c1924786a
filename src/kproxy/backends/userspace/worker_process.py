"""One worker process, as the daemon sees it."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Callable

import msgspec

from kproxy.backends.userspace.channel import Channel
from kproxy.backends.userspace.messages import FromWorker, WorkerSettings

_MODULE = "kproxy.backends.userspace.dataplane.worker"


class WorkerProcess:
    """Runs until it is closed, or dies."""

    def __init__(
        self, settings: WorkerSettings, on_message: Callable[[FromWorker], None], on_end: Callable[[], None]
    ) -> None:
        """Start it, on the running event loop.

        Args:
            settings: what it is to know from the beginning
            on_message: called with what it says
            on_end: called when it has died by itself

        Raises:
            OSError: no process can be started
        """
        self._on_end = on_end
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.ExitStack() as stack:
            stack.callback(theirs.close)
            stack.callback(ours.close)
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, str(number), msgspec.json.encode(settings).decode()],
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
            )
            decoder = msgspec.msgpack.Decoder(FromWorker)
            self.channel: Channel[FromWorker] = Channel(
                ours, decoder, lambda message, descriptors: on_message(message), self._died
            )
            stack.pop_all()
        theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> None:
        """End it; its connections end with it."""
        self.channel.close()
        self._process.kill()
        self._process.wait()

    def _died(self) -> None:
        # Its end of the socket is closed, so it is ending or has ended: this does not wait for long.
        self._process.kill()
        self._process.wait()
        self._on_end()
