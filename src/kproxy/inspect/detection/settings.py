"""The node's configuration, for commands that must work whatever proxy runs, and whatever it says."""

from typing import NamedTuple

import msgspec

from kproxy.config import KubeProxyConfiguration
from kproxy.config.addresses import parse_endpoint
from kproxy.inspect.desired import NodeSettings, Where, read_settings
from kproxy.inspect.output import InspectionError

NO_METRICS = ""
"""As `Where.metrics`: ask nobody."""


class FoundSettings(NamedTuple):
    settings: NodeSettings
    problem: str
    """Why the running proxy's configuration is not used; empty when it is, or when a file was given."""


def find_settings(where: Where) -> FoundSettings:
    """Read the configuration; one of another proxy version that cannot be read gives way to the defaults.

    Raises:
        InspectionError: the file that was named is no configuration
    """
    try:
        return FoundSettings(read_settings(where), "")
    except InspectionError as error:
        if where.config is not None:
            raise
        defaults = read_settings(msgspec.structs.replace(where, metrics=NO_METRICS))
        return FoundSettings(msgspec.structs.replace(defaults, origin="defaults"), str(error))


def endpoints(configuration: KubeProxyConfiguration, where: Where) -> tuple[str, str]:
    """Where this node's proxy is asked: the `address:port` of its metrics and of its health server."""
    metrics = where.metrics if where.config is None else configuration.metrics_bind_address
    return _loopback(metrics), _loopback(configuration.healthz_bind_address)


def _loopback(address: str) -> str:
    try:
        endpoint = parse_endpoint(address)
    except ValueError:
        return address
    if not endpoint.address.is_unspecified:
        return str(endpoint)
    return f"[::1]:{endpoint.port}" if endpoint.address.version == 6 else f"127.0.0.1:{endpoint.port}"
