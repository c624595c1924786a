import pytest

from kproxy.config import KubeProxyConfiguration, load_bytes
from kproxy.config.defaults import effective, mode_settings
from kproxy.config.duration import Duration

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


def load(body: str) -> KubeProxyConfiguration:
    return load_bytes((HEAD + body).encode()).configuration


@pytest.mark.parametrize(
    ("mode", "minimum"), [("iptables", "1s"), ("ipvs", "0s"), ("nftables", "0s"), ("userspace", "1s"), ("", "1s")]
)
def test_zero_periods_become_those_of_kube_proxy_but_nftables_mode_need_not_pause(mode: str, minimum: str) -> None:
    configuration = load(f"mode: '{mode}'\n")
    settings = mode_settings(configuration)
    assert (str(settings.sync_period), str(settings.min_sync_period)) == ("30s", minimum)
    assert settings.masquerade_bit == 14
    assert configuration.mode == (mode or "iptables")


def test_the_settings_come_from_the_section_of_the_mode() -> None:
    body = """\
iptables: {masqueradeBit: 1, masqueradeAll: true, syncPeriod: 11s, minSyncPeriod: 2s}
ipvs: {syncPeriod: 12s, minSyncPeriod: 3s}
nftables: {masqueradeBit: 3, syncPeriod: 13s, minSyncPeriod: 4s}
"""
    found = {}
    for mode in ("iptables", "ipvs", "nftables", "userspace"):
        settings = mode_settings(load(f"mode: {mode}\n{body}"))
        found[mode] = (
            str(settings.sync_period),
            str(settings.min_sync_period),
            settings.masquerade_all,
            settings.masquerade_bit,
        )
    assert found == {
        "iptables": ("11s", "2s", True, 1),
        "ipvs": ("12s", "3s", True, 1),
        "nftables": ("13s", "4s", False, 3),
        "userspace": ("11s", "2s", True, 1),
    }


@pytest.mark.parametrize(
    ("mode", "written", "result"),
    [
        ("nftables", "null", ("primary",)),
        ("nftables", "[]", ("primary",)),
        ("nftables", "[10.0.0.0/8]", ("10.0.0.0/8",)),
        ("iptables", "null", None),
        ("ipvs", "null", None),
        ("userspace", "null", None),
    ],
)
def test_node_ports_are_on_the_primary_addresses_in_nftables_mode(
    mode: str, written: str, result: tuple[str, ...] | None
) -> None:
    assert load(f"mode: {mode}\nnodePortAddresses: {written}\n").node_port_addresses == result


@pytest.mark.parametrize(
    ("body", "healthz", "metrics"),
    [
        ("", "0.0.0.0:10256", "127.0.0.1:10249"),
        ("bindAddress: 192.0.2.1", "0.0.0.0:10256", "127.0.0.1:10249"),
        ("bindAddress: '2001:db8::1'", "[::]:10256", "[::1]:10249"),
        ("healthzBindAddress: 127.0.0.1\nmetricsBindAddress: '::1'", "127.0.0.1:10256", "[::1]:10249"),
        ("healthzBindAddress: 127.0.0.1:1\nmetricsBindAddress: '[::]:2'", "127.0.0.1:1", "[::]:2"),
    ],
)
def test_server_addresses(body: str, healthz: str, metrics: str) -> None:
    configuration = load(body)
    assert (configuration.healthz_bind_address, configuration.metrics_bind_address) == (healthz, metrics)


def test_empty_and_zero_mean_not_set() -> None:
    body = """\
bindAddress: ""
healthzBindAddress: ""
metricsBindAddress: ""
configSyncPeriod: 0s
clientConnection: {contentType: "", qps: 0, burst: 0}
logging: {flushFrequency: 0s, format: ""}
"""
    assert load(body) == effective(KubeProxyConfiguration())


def test_zero_is_kept_where_it_means_something() -> None:
    configuration = load(
        "iptables: {masqueradeBit: 0}\noomScoreAdj: 0\nconntrack: {maxPerCore: 0, tcpCloseWaitTimeout: 0s}\n"
    )
    assert configuration.iptables.masquerade_bit == 0
    assert configuration.oom_score_adj == 0
    assert configuration.conntrack.max_per_core == 0
    assert configuration.conntrack.tcp_close_wait_timeout == Duration()


def test_udp_flows_have_an_idle_timeout_in_userspace_mode_only() -> None:
    assert str(load("mode: userspace\n").udp_idle_timeout) == "10s"
    assert str(load("mode: userspace\nudpIdleTimeout: 250ms\n").udp_idle_timeout) == "250ms"
    assert str(load("mode: nftables\n").udp_idle_timeout) == "0s"


def test_the_node_name_is_trimmed_and_in_lower_case() -> None:
    assert load("hostnameOverride: ' Node-A '\n").hostname_override == "node-a"


def test_filling_in_twice_changes_nothing() -> None:
    once = load("mode: nftables\nbindAddress: '::1'\n")
    assert effective(once) == once
