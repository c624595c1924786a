import re
from pathlib import Path
from typing import Any

import pytest

from kproxy.config import Action, CommandLine, ConfigError, parse_command_line
from kproxy.config.defaults import mode_settings
from kproxy.config.flag_table import flags, help_text
from kproxy.config.schema import leaf

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

KUBE_PROXY_FLAGS = """
--bind-address --bind-address-hard-fail --cleanup --cluster-cidr --config --config-sync-period
--conntrack-max-per-core --conntrack-min --conntrack-tcp-be-liberal --conntrack-tcp-timeout-close-wait
--conntrack-tcp-timeout-established --conntrack-udp-timeout --conntrack-udp-timeout-stream
--detect-local-mode --feature-gates --healthz-bind-address --hostname-override --init-only
--iptables-localhost-nodeports --iptables-masquerade-bit --iptables-min-sync-period --iptables-sync-period
--ipvs-exclude-cidrs --ipvs-min-sync-period --ipvs-scheduler --ipvs-strict-arp --ipvs-sync-period
--ipvs-tcp-timeout --ipvs-tcpfin-timeout --ipvs-udp-timeout --kube-api-burst --kube-api-content-type
--kube-api-qps --kubeconfig --log-flush-frequency --logging-format --masquerade-all --master
--metrics-bind-address --nodeport-addresses --oom-score-adj --pod-bridge-interface
--pod-interface-name-prefix --profiling --proxy-mode --show-hidden-metrics-for-version --v
--version --vmodule --write-config-to
"""

USERSPACE_FLAGS = "--proxy-port-range --udp-timeout"
"""Those that left kube-proxy together with the mode."""


def parse(*arguments: str) -> CommandLine:
    return parse_command_line(arguments)


def problems(*arguments: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(*arguments)
    return str(caught.value).splitlines()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kube-proxy.yaml"
    path.write_text(
        HEAD + "mode: nftables\nhostnameOverride: from-file\nlogging:\n  verbosity: 1\n"
        "  vmodule: [{filePattern: file, verbosity: 3}]\n"
    )
    return path


def test_every_flag_of_kube_proxy_is_there_and_no_other() -> None:
    assert sorted(f"--{name}" for name in flags()) == sorted(
        [*KUBE_PROXY_FLAGS.split(), *USERSPACE_FLAGS.split(), "--help", "--takeover"]
    )


def test_the_help_names_and_describes_every_flag() -> None:
    text = help_text()
    assert re.findall(r"^  (?:-., |    )(--[a-z0-9-]+)", text, re.MULTILINE) == [f"--{name}" for name in flags()]
    assert all(len(line) <= 120 for line in text.splitlines())
    assert "-v, --v int32" in text
    assert parse("-h").action is Action.HELP
    assert parse("--help", "--config", "/nonexistent", "--unheard").action is Action.HELP


def test_without_arguments_it_is_the_defaults() -> None:
    command_line = parse()
    assert command_line.action is Action.RUN
    assert command_line.warnings == ()
    assert command_line.configuration.mode == "iptables"


@pytest.mark.parametrize("arguments", [("-v", "2"), ("-v=2",), ("-v2",), ("--v=2",), ("--v", "2"), ("--v=0x2",)])
def test_verbosity_in_every_spelling(arguments: tuple[str, ...]) -> None:
    assert parse(*arguments).configuration.logging.verbosity == 2


def test_values_of_every_type() -> None:
    configuration = parse(
        "--bind-address=::1",
        "--cluster-cidr", "10.0.0.0/8,fd00::/8",
        "--conntrack-min=0x10",
        "--conntrack-tcp-timeout-established", "90m",
        "--conntrack-udp-timeout-stream=3m",
        "--feature-gates=WatchListClient=false, LoggingAlphaOptions=T",
        "--feature-gates=AllBeta=1",
        "--healthz-bind-address=127.0.0.1",
        "--iptables-localhost-nodeports=f",
        "--kube-api-qps=2.5",
        "--masquerade_all",
        "--nodeport-addresses=10.0.0.0/8,\"192.0.2.0/24\"",
        "--nodeport-addresses", "fd00::/8",
        "--oom-score-adj=-5",
        "--profiling",
        "--vmodule=proxier=4,health*=2",
    ).configuration  # fmt: skip
    assert configuration.bind_address == "::1"
    assert configuration.cluster_cidr == "10.0.0.0/8,fd00::/8"
    assert configuration.conntrack.min == 16
    assert str(configuration.conntrack.tcp_established_timeout) == "1h30m0s"
    assert str(configuration.conntrack.udp_stream_timeout) == "3m0s"
    assert configuration.feature_gates == {"WatchListClient": False, "LoggingAlphaOptions": True, "AllBeta": True}
    assert configuration.healthz_bind_address == "127.0.0.1:10256"
    assert configuration.metrics_bind_address == "[::1]:10249"
    assert not configuration.iptables.localhost_node_ports
    assert configuration.client_connection.qps == 2.5
    assert configuration.iptables.masquerade_all
    assert configuration.node_port_addresses == ("10.0.0.0/8", "192.0.2.0/24", "fd00::/8")
    assert configuration.oom_score_adj == -5
    assert configuration.enable_profiling
    assert [(item.file_pattern, item.verbosity) for item in configuration.logging.vmodule] == [
        ("proxier", 4),
        ("health*", 2),
    ]


def test_every_flag_with_a_field_reaches_it() -> None:
    """Each flag, given alone, changes the value at its path (or at the path its mode reads)."""
    values = {
        "ip": "192.0.2.7",
        "ipport": "192.0.2.7:99",
        "int32": "7",
        "float32": "7",
        "duration": "7s",
        "": "true",
        "strings": "192.0.2.0/24",
        "mapStringBool": "AllBeta=true",
        "pattern=N,...": "a=1",
    }
    special = {
        "cluster-cidr": "10.0.0.0/8", "detect-local-mode": "NodeCIDR", "proxy-mode": "userspace",
        "logging-format": "json", "iptables-localhost-nodeports": "false", "show-hidden-metrics-for-version": "1.35",
        "proxy-port-range": "1-5",
    }  # fmt: skip
    for name, flag in flags().items():
        if flag.path:
            text = special.get(name, values.get(flag.type.value, "word"))
            command_line = parse(f"--{name}={text}")
            value: Any = command_line.configuration
            for part in flag.path.split("."):
                value = getattr(value, value.__struct_fields__[value.__struct_encode_fields__.index(part)])
            assert value != leaf(flag.path).default, name
            assert str(command_line.origins[flag.path]) == f"--{name}"


def test_flags_named_after_iptables_reach_the_mode_as_in_kube_proxy() -> None:
    settings = mode_settings(
        parse(
            "--proxy-mode=nftables", "--iptables-sync-period=9s", "--iptables-min-sync-period=0", "--masquerade-all"
        ).configuration
    )
    assert (str(settings.sync_period), str(settings.min_sync_period)) == ("9s", "0s")
    assert settings.masquerade_all
    assert str(mode_settings(parse("--proxy-mode=ipvs").configuration).min_sync_period) == "1s"
    assert (
        str(mode_settings(parse("--proxy-mode=ipvs", "--ipvs-min-sync-period=0").configuration).min_sync_period) == "0s"
    )


def test_an_empty_server_address_turns_the_server_off() -> None:
    configuration = parse("--metrics-bind-address=", "--healthz-bind-address", "").configuration
    assert (configuration.metrics_bind_address, configuration.healthz_bind_address) == ("", "")


def test_every_mistake_is_reported_at_once() -> None:
    assert problems(
        "--proxi-mode=nftables",
        "-x",
        "-proxy-mode=ipvs",
        "--iptables-masquerade-bit",
        "99",
        "--cleanup",
        "false",
        "",
        "--healthz-bind-address=1.2.3.4:0",
        "--kube-api-qps=fast",
        "--feature-gates=A",
        "--vmodule=a",
        "--profiling=maybe",
        "--config-sync-period=5",
        '--ipvs-exclude-cidrs="x',
        "--hostname-override= ",
        "--version=v9.9.9",
        "--bind-address",
    ) == [
        '--proxi-mode: unknown flag; did you mean "--proxy-mode"?',
        "-x: unknown flag",
        '-proxy-mode=ipvs: unknown flag; did you mean "--proxy-mode=ipvs"?',
        'command line: takes no arguments, got "false"',
        "--bind-address: needs a value",
        "--iptables-masquerade-bit: must be between 0 and 31, got 99",
        '--healthz-bind-address: "1.2.3.4:0" has a port that is not between 1 and 65535',
        '--kube-api-qps: expected a number, got "fast"',
        '--feature-gates: expected Name=true or Name=false, got "A"',
        '--vmodule: expected pattern=N, got "a"',
        '--profiling: expected true or false, got "maybe"',
        '--config-sync-period: "5" has no unit; for seconds write "5s"',
        '--ipvs-exclude-cidrs: "\\"x" is not a comma-separated list: unexpected end of data',
        "--version: takes no value: the version that is reported cannot be changed",
        "--hostname-override: must not be blank",
    ]


def test_flags_of_older_versions_say_what_to_do_instead() -> None:
    assert problems("--healthz-port=10256", "--logtostderr", "--cleanup_ipvs=true") == [
        "--healthz-port: is gone from kube-proxy; use --healthz-bind-address",
        "--logtostderr: is gone from Kubernetes; the log goes to standard error",
        "--cleanup_ipvs: is gone from kube-proxy; --cleanup removes everything",
    ]


def test_flags_of_userspace_mode() -> None:
    configuration = parse("--proxy-mode=userspace", "--proxy-port-range=30000-30999", "--udp-timeout=1s").configuration
    assert configuration.port_range == "30000-30999"
    assert configuration.udp_idle_timeout.seconds == 1
    assert problems("--proxy-mode=userspace", "--udp-timeout=0") == [
        "--udp-timeout: udpIdleTimeout: must be greater than 0, got 0s"
    ]


def test_validation_names_the_flag() -> None:
    assert problems("--iptables-sync-period=500ms", "--nodeport-addresses=10.0.0.0/33") == [
        '--nodeport-addresses: nodePortAddresses[0]: "10.0.0.0/33" has a prefix length that is not between 0 and 32',
        "--iptables-sync-period: iptables.syncPeriod: must be at least iptables.minSyncPeriod (1s), got 500ms",
    ]


def test_a_file_makes_overlapping_flags_ignored_with_one_warning(file: Path) -> None:
    command_line = parse(
        "--config", str(file), "--proxy-mode=ipvs", "--cluster-cidr=10.0.0.0/8", "--master=https://api"
    )
    assert command_line.configuration.mode == "nftables"
    assert command_line.configuration.cluster_cidr == ""
    assert command_line.master == "https://api"
    assert [str(warning) for warning in command_line.warnings] == [
        f"command line: ignored, because --config {file} is given: --proxy-mode, --cluster-cidr"
    ]


def test_host_name_and_logging_flags_count_beside_a_file(file: Path) -> None:
    command_line = parse(
        f"--config={file}", "--hostname-override=From-Flag", "-v=5", "--vmodule=flag=9", "--log-flush-frequency=1s"
    )
    configuration = command_line.configuration
    assert command_line.warnings == ()
    assert configuration.hostname_override == "from-flag"
    assert configuration.logging.verbosity == 5
    assert configuration.logging.flush_frequency.seconds == 1
    assert [item.file_pattern for item in configuration.logging.vmodule] == ["flag", "file"]
    assert str(command_line.origins["logging.verbosity"]) == "--v"
    assert str(command_line.origins["mode"]) == f"{file}:3"


def test_problems_of_the_file_name_the_file(file: Path) -> None:
    file.write_text(HEAD + "mod: ipvs\n")
    assert problems("--config", str(file)) == [f'{file}:3: mod: unknown field; did you mean "mode"?']


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        (("--cleanup",), Action.CLEANUP),
        (("--cleanup=false",), Action.RUN),
        (("--init-only",), Action.INIT_ONLY),
        (("--init-only", "--cleanup"), Action.CLEANUP),
        (("--cleanup", "--write-config-to=/tmp/out.yaml"), Action.WRITE_CONFIG),
        (("--version",), Action.VERSION),
        (("--version=raw",), Action.VERSION),
        (("--version=false",), Action.RUN),
        (("--", ""), Action.RUN),
    ],
)
def test_actions(arguments: tuple[str, ...], action: Action) -> None:
    assert parse(*arguments).action is action


def test_the_files_to_read_and_write(file: Path) -> None:
    command_line = parse("--config", str(file), "--write-config-to", "/tmp/out.yaml")
    assert command_line.config_file == file
    assert command_line.write_config_to == Path("/tmp/out.yaml")
