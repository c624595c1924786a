"""The configuration in effect: what was written, with everything else filled in as kube-proxy does.

The rules are those of kube-proxy's v1alpha1 defaulting and of its Linux start-up: an empty or zero value means "not
set"; the addresses of the servers follow the family of `bindAddress`; nftables mode serves NodePorts on the primary
addresses only. Periods are filled in for the chosen mode alone, which is how kube-proxy writes them out. In one
point we differ: nftables mode does not pause between syncs unless told to, as a sync costs what changed, not what
the cluster holds.
"""

from collections.abc import Collection
from dataclasses import dataclass

from msgspec.structs import replace

from kproxy.config.addresses import parse_address, with_port
from kproxy.config.duration import Duration
from kproxy.config.logging_section import Logging
from kproxy.config.mode_sections import IPVS, IPTables
from kproxy.config.sections import ClientConnection
from kproxy.config.types import KubeProxyConfiguration

HEALTHZ_PORT = 10256
METRICS_PORT = 10249
DEFAULT_IPVS_SCHEDULER = "rr"
NODE_PORTS_PRIMARY = "primary"
"""The word in `nodePortAddresses` for the node's primary addresses, as its Node object lists them."""

_SYNC_PERIOD = Duration.of(seconds=30)
_MIN_SYNC_PERIOD = Duration.of(seconds=1)
# kube-proxy's was 250 ms, which had clients change endpoints between two packets of one exchange.
_UDP_IDLE_TIMEOUT = Duration.of(seconds=10)


@dataclass(frozen=True, slots=True)
class ModeSettings:
    """The settings that every mode has, taken from the section of the chosen one."""

    sync_period: Duration
    min_sync_period: Duration
    masquerade_all: bool
    masquerade_bit: int


def mode_settings(configuration: KubeProxyConfiguration) -> ModeSettings:
    """Return the settings in effect for the configuration's mode (of an effective configuration)."""
    match configuration.mode:
        case "nftables":
            nftables = configuration.nftables
            return ModeSettings(
                nftables.sync_period, nftables.min_sync_period, nftables.masquerade_all, nftables.masquerade_bit
            )
        case "ipvs":
            periods: IPVS | IPTables = configuration.ipvs
        case "iptables" | "userspace":
            periods = configuration.iptables
    # v1alpha1 has no masquerade settings for ipvs and userspace modes: both use those of iptables mode.
    iptables = configuration.iptables
    return ModeSettings(periods.sync_period, periods.min_sync_period, iptables.masquerade_all, iptables.masquerade_bit)


def effective(configuration: KubeProxyConfiguration, explicit: Collection[str] = ()) -> KubeProxyConfiguration:
    """Fill in what is not set.

    Args:
        configuration: as written.
        explicit: paths whose empty or zero value was meant, because a flag gave it: `--metrics-bind-address=`
            turns the server off, `--iptables-min-sync-period=0` removes the pause.
    """
    bind_address = configuration.bind_address.strip() or "0.0.0.0"  # noqa: S104 - the documented wildcard
    healthz_host, metrics_host = _server_hosts(bind_address)
    node_port_addresses = configuration.node_port_addresses
    if configuration.mode == "nftables" and not node_port_addresses:
        node_port_addresses = (NODE_PORTS_PRIMARY,)

    def server(path: str, written: str, host: str, port: int) -> str:
        return with_port(written or ("" if path in explicit else host), port)

    filled = replace(
        configuration,
        bind_address=bind_address,
        healthz_bind_address=server(
            "healthzBindAddress", configuration.healthz_bind_address, healthz_host, HEALTHZ_PORT
        ),
        metrics_bind_address=server(
            "metricsBindAddress", configuration.metrics_bind_address, metrics_host, METRICS_PORT
        ),
        hostname_override=configuration.hostname_override.strip().lower(),
        node_port_addresses=node_port_addresses,
        client_connection=_filled_connection(configuration.client_connection, explicit),
        config_sync_period=_filled(
            configuration.config_sync_period, Duration.of(minutes=15), "configSyncPeriod" in explicit
        ),
        logging=replace(
            configuration.logging,
            flush_frequency=configuration.logging.flush_frequency or Logging().flush_frequency,
        ),
    )
    return _with_periods(filled, explicit)


def _filled(written: Duration, default: Duration, explicit: bool) -> Duration:
    return written if written or explicit else default


def _with_periods(configuration: KubeProxyConfiguration, explicit: Collection[str]) -> KubeProxyConfiguration:
    mode = configuration.mode

    def periods(section: str, sync: Duration, minimum: Duration, least: Duration) -> dict[str, Duration]:
        return {
            "sync_period": _filled(sync, _SYNC_PERIOD, f"{section}.syncPeriod" in explicit),
            "min_sync_period": _filled(minimum, least, f"{section}.minSyncPeriod" in explicit),
        }

    if mode == "ipvs":
        ipvs = configuration.ipvs
        filled = periods("ipvs", ipvs.sync_period, ipvs.min_sync_period, Duration())
        return replace(configuration, ipvs=replace(ipvs, **filled))
    if mode == "nftables":
        nftables = configuration.nftables
        filled = periods("nftables", nftables.sync_period, nftables.min_sync_period, Duration())
        return replace(configuration, nftables=replace(nftables, **filled))
    iptables = configuration.iptables
    filled = periods("iptables", iptables.sync_period, iptables.min_sync_period, _MIN_SYNC_PERIOD)
    idle = configuration.udp_idle_timeout
    if mode == "userspace":
        idle = _filled(idle, _UDP_IDLE_TIMEOUT, "udpIdleTimeout" in explicit)
    return replace(configuration, iptables=replace(iptables, **filled), udp_idle_timeout=idle)


def _filled_connection(connection: ClientConnection, explicit: Collection[str]) -> ClientConnection:
    unset = ClientConnection()
    return replace(
        connection,
        content_type=connection.content_type or unset.content_type,
        qps=connection.qps if connection.qps or "clientConnection.qps" in explicit else unset.qps,
        burst=connection.burst if connection.burst or "clientConnection.burst" in explicit else unset.burst,
    )


def _server_hosts(bind_address: str) -> tuple[str, str]:
    """Return the default addresses of the health and metrics servers."""
    try:
        is_ipv6 = parse_address(bind_address).version == 6
    except ValueError:
        is_ipv6 = False
    return ("::", "::1") if is_ipv6 else ("0.0.0.0", "127.0.0.1")  # noqa: S104 - health is served to the cluster
