"""A changed configuration, put into effect in the running proxy as far as that goes."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from kproxy.backends.interface import BackendError
from kproxy.config import KubeProxyConfiguration
from kproxy.config.reload import Part, compare

log = logging.getLogger(__name__)

Apply = Callable[[KubeProxyConfiguration], Awaitable[None]]


class Reloading:
    """Knows who puts which part of the configuration into effect."""

    def __init__(
        self, configuration: KubeProxyConfiguration, appliers: Mapping[Part, Apply], *, end: Callable[[], None]
    ) -> None:
        """Begin with the configuration in effect.

        Args:
            configuration: effective and valid
            appliers: by part; those that are the same for several parts are called once
            end: ends the process, for what cannot be done in place
        """
        self.configuration = configuration
        """The one in effect."""
        self._appliers = appliers
        self._end = end

    async def __call__(self, configuration: KubeProxyConfiguration) -> None:
        """Put a configuration into effect; one that fails in parts is reported, and leaves the others working."""
        reload = compare(self.configuration, configuration)
        if not reload.changes:
            return
        for change in reload.changes:
            log.info("The configuration has changed: %s%s", change, f" ({change.reason})" if change.reason else "")
        if reload.exit_reasons:
            log.warning("Ending, to be started again with the new configuration: %s", "; ".join(reload.exit_reasons))
            self._end()
            return
        self.configuration = configuration
        for apply in dict.fromkeys(self._appliers[part] for part in Part if part in reload.parts):
            try:
                await apply(configuration)
            except (BackendError, OSError) as error:
                log.error("The new configuration is in effect only in part: %s", error)
        log.info("Reloaded: %s", ", ".join(sorted(part.value for part in reload.parts)) or "nothing had to be done")
