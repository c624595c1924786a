"""Makes the kernel what it should be, with the backend of the mode."""

import asyncio

from kproxy.backends.interface import BackendError, Outcome
from kproxy.daemon.modes import make_backend
from kproxy.inspect.desired import DesiredState
from kproxy.inspect.output import InspectionError


def repair(desired: DesiredState) -> None:
    """Compare everything with the kernel and write the difference, as the proxy does when it starts.

    A proxy of ours that runs meanwhile notices, compares too, and finds nothing to do.

    Raises:
        InspectionError: the kernel refuses, or lacks what the mode needs
    """
    try:
        outcomes = asyncio.run(_sync(desired))
    except (BackendError, OSError) as error:
        raise InspectionError(f"nothing was repaired: {error}") from error
    refused = [str(each) for outcome in outcomes for each in outcome.refused]
    if refused:
        raise InspectionError(f"not everything was repaired: {'; '.join(refused)}")


async def _sync(desired: DesiredState) -> list[Outcome]:
    backend = make_backend(desired.settings.configuration)
    try:
        backend.set_local_traffic(desired.local_traffic)
        backend.set_node_ips(desired.primary_addresses)
        backend.set_node_port_addresses(desired.node_port_addresses)
        return await backend.sync_all(set(desired.tracker.names()), desired.tracker)
    finally:
        backend.close()
