"""What takes more privileges than the proxy needs afterwards: done at each start, or ahead of it by `--init-only`.

After that, a proxy with CAP_NET_ADMIN alone finds everything as it should be, and has nothing of it to do.
"""

from typing import NamedTuple

from kproxy.backends.interface import BackendError
from kproxy.config import KubeProxyConfiguration
from kproxy.daemon.modes import make_backend
from kproxy.node.conntrack_limits import LimitProblem, apply_limits


class Initialisation(NamedTuple):
    done: tuple[str, ...]
    """What was changed, and what was left alone although it is not as configured, in words."""
    problems: tuple[LimitProblem, ...]
    """What is not as it should be; the proxy works without, if not for as many connections."""

    @property
    def read_only(self) -> bool:
        """Whether some of it is due to a file system that is mounted read-only."""
        return any(problem.read_only for problem in self.problems)


def initialise(configuration: KubeProxyConfiguration) -> Initialisation:
    """Set the kernel's limits for connection tracking, which are common to all modes."""
    results = apply_limits(configuration.conntrack)
    return Initialisation(
        tuple(str(result) for result in results if not isinstance(result, LimitProblem)),
        tuple(result for result in results if isinstance(result, LimitProblem)),
    )


def initialise_only(configuration: KubeProxyConfiguration) -> tuple[Initialisation, str]:
    """Do what `initialise` does, and what the mode needs: kernel modules, and settings such as `route_localnet`.

    No rule is written, and the API is not asked for anything.

    Returns:
        What came of it, and why the mode cannot work here, if it cannot.
    """
    result = initialise(configuration)
    try:
        make_backend(configuration).close()
    except BackendError as error:
        return result, str(error)
    return result, ""
