"""The proxy's life as the service manager sees it: when it is ready, how it fares, and whether it still works."""

import asyncio
import logging
from collections.abc import Callable

from kproxy.kernel.sd_notify import ServiceManager

log = logging.getLogger(__name__)

_STATUS_PERIOD = 10.0


class ServiceState:
    """Notifies the service manager; that it cannot be reached is logged, and changes nothing else."""

    def __init__(self, manager: ServiceManager, works: Callable[[], bool], describe: Callable[[], str]) -> None:
        """Notify nothing yet.

        Args:
            manager: whom to notify
            works: whether syncs do what they should; the event loop shows by itself that it runs
            describe: gives a line for `systemctl status`
        """
        self._manager, self._works, self._describe = manager, works, describe
        self._status = ""
        self._ready = self._failed = self._silent = False

    def synced(self) -> None:
        """The kernel has the rules: the first time, and after a reload, this is what makes the service ready."""
        if not self._ready:
            self._ready = True
            self._status = self._describe()
            self._tell(lambda: self._manager.ready(self._status))

    def reloading(self) -> None:
        """The configuration is being read anew; the next `synced` ends that."""
        self._ready = False
        self._tell(self._manager.reloading)

    def stopping(self) -> None:
        self._tell(self._manager.stopping)

    async def run(self) -> None:
        """Keep the watchdog quiet while the proxy works, and the status up to date, until cancelled."""
        if not self._manager.listens:
            await asyncio.get_running_loop().create_future()
        watchdog = self._manager.watchdog
        while True:
            if watchdog is not None:
                self._pat()
            if self._ready and (status := self._describe()) != self._status:
                self._status = status
                self._tell(lambda: self._manager.status(self._status))
            await asyncio.sleep(_STATUS_PERIOD if watchdog is None else watchdog / 2)

    def _pat(self) -> None:
        if self._works():
            self._silent = False
            self._tell(self._manager.alive)
        elif not self._silent:
            self._silent = True
            log.error("Changes wait for too long: leaving it to the service manager's watchdog to restart the proxy")

    def _tell(self, notify: Callable[[], None]) -> None:
        try:
            notify()
        except OSError as error:
            if not self._failed:
                log.warning("The service manager cannot be notified: %s", error)
            self._failed = True
        else:
            self._failed = False
