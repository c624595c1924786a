"""`route_localnet`: packets from 127.0.0.1 may leave the loopback, so that NodePorts answer there."""

import logging
from pathlib import Path

from kproxy.backends.interface import BackendError

log = logging.getLogger(__name__)

ROUTE_LOCALNET = Path("/proc/sys/net/ipv4/conf/all/route_localnet")


def allow_localnet() -> None:
    """Set the sysctl, in the network namespace of the calling thread, unless it is set.

    Raises:
        BackendError: the kernel refuses it
    """
    try:
        if ROUTE_LOCALNET.read_text(encoding="ascii").strip() == "1":
            return
        ROUTE_LOCALNET.write_text("1", encoding="ascii")
    except OSError as error:
        raise BackendError(
            f"iptables.localhostNodePorts needs {ROUTE_LOCALNET} to be 1, which failed: {error.strerror}; set it, or "
            "set iptables.localhostNodePorts: false"
        ) from error
    log.info(
        "Set route_localnet=1, so that NodePorts answer on localhost; "
        "iptables.localhostNodePorts: false would leave it alone"
    )
