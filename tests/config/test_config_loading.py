"""Files as people write them: what loads, and what each mistake is answered with."""

import json
from pathlib import Path

import pytest

from kproxy.config import ConfigError, Loaded, load_bytes, load_file

HERE = Path(__file__).parent
HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


def load(body: str, head: str = HEAD) -> Loaded:
    return load_bytes((head + body).encode(), "f.yaml")


def problems(body: str, head: str = HEAD) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(body, head)
    return str(caught.value).splitlines()


@pytest.mark.parametrize("mode", ["iptables", "ipvs"])
def test_the_sample_files_load_as_they_are(mode: str) -> None:
    loaded = load_file(HERE / "samples" / f"{mode}.yaml")
    configuration = loaded.configuration
    assert configuration.mode == mode
    assert loaded.warnings == ()
    assert configuration.cluster_cidr == "10.244.0.0/16"
    assert configuration.node_port_addresses == ("0.0.0.0/0",)
    assert configuration.metrics_bind_address == "0.0.0.0:10249"
    assert str(configuration.conntrack.tcp_established_timeout) == "24h0m0s"
    if mode == "ipvs":
        assert configuration.ipvs.scheduler == "rr"
        assert configuration.ipvs.strict_arp
        assert configuration.logging.verbosity == 2


def test_what_kube_proxy_writes_loads() -> None:
    loaded = load_file(HERE / "default-config.yaml")
    assert [problem.path for problem in loaded.warnings] == ["detectLocalMode"]


def test_json_loads_with_lines() -> None:
    text = (
        '{\n\t"apiVersion": "kubeproxy.config.k8s.io/v1alpha1",\n\t"kind": "KubeProxyConfiguration",\n\t"mode": "ipvs"'
    )
    assert load(text + "\n}", head="").configuration.mode == "ipvs"
    assert problems(text + ',\n\t"modes": 1\n}', head="") == ['f.yaml:5: modes: unknown field; did you mean "mode"?']


def test_null_means_not_set_everywhere() -> None:
    tree = json.loads(json.dumps(dict.fromkeys(("mode", "iptables", "oomScoreAdj", "featureGates", "clusterCIDR"))))
    body = (
        "".join(f"{name}: null\n" for name in tree) + "conntrack: {maxPerCore: null, min: ~, tcpCloseWaitTimeout: }\n"
    )
    loaded = load(body)
    assert loaded.configuration == load("").configuration


def test_every_mistake_is_reported_at_once_in_the_order_of_the_file() -> None:
    body = """\
mode: ipvss
masqueradeAll: true
iptables:
  masqueradebit: 3
  masqueradeBit: 40
  masqueradeBit: 4
  syncPeriod: 30
  localhostNodePorts: "yes"
conntrack: [1]
resourceContainer: /kube-proxy
nodePortAddresses: [primary, 10.0.0.0/x]
oomScoreAdj: 1.5
clusterCIDR: {a: b}
featureGates: {A: x}
"""
    assert problems(body) == [
        'f.yaml:3: mode: must be iptables or ipvs or nftables or userspace, got "ipvss"; did you mean "ipvs"?',
        "f.yaml:4: masqueradeAll: unknown field here; it belongs at iptables.masqueradeAll or nftables.masqueradeAll",
        'f.yaml:6: iptables.masqueradebit: unknown field; did you mean "masqueradeBit"?',
        "f.yaml:7: iptables.masqueradeBit: must be between 0 and 31, got 40",
        "f.yaml:8: iptables.masqueradeBit: is written twice, first on line 7",
        'f.yaml:9: iptables.syncPeriod: expected a duration such as "30s", got the number 30; for seconds write "30s"',
        'f.yaml:10: iptables.localhostNodePorts: expected true or false, got "yes"',
        "f.yaml:11: conntrack: expected a mapping, got a list",
        "f.yaml:12: resourceContainer: is gone from this API: whoever starts the proxy chooses its cgroup; remove it",
        "f.yaml:13: nodePortAddresses[0]: primary must be the only entry",
        'f.yaml:13: nodePortAddresses[1]: "10.0.0.0/x" has a prefix length that is not between 0 and 32',
        "f.yaml:14: oomScoreAdj: expected a whole number, got 1.5",
        "f.yaml:15: clusterCIDR: expected a string, got a mapping",
        'f.yaml:16: featureGates.A: expected true or false, got "x"',
    ]


def test_problems_carry_path_line_and_column() -> None:
    with pytest.raises(ConfigError) as caught:
        load("ipvs:\n  schedular: rr\n")
    (problem,) = caught.value.problems
    assert problem.origin is not None
    assert (problem.path, problem.origin.source, problem.origin.line, problem.origin.column) == (
        "ipvs.schedular",
        "f.yaml",
        4,
        3,
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "f.yaml:1: is empty; a configuration needs at least apiVersion and kind"),
        ("---\n...\n", "f.yaml:1: is empty; a configuration needs at least apiVersion and kind"),
        ("- a\n", "f.yaml:1: must be a mapping of field names to values"),
        ("a: [\n", "f.yaml:2: not valid YAML: did not find expected node content"),
        ("a: b: c\n", "f.yaml:1: not valid YAML: mapping values are not allowed in this context"),
        ("a: 1\nb: \x00\n", "f.yaml:2: not valid YAML: character #x0000 is not allowed"),
        (HEAD + "---\n" + HEAD, "f.yaml:4: holds several documents; exactly one is allowed"),
        ("[" * 200_000, "f.yaml:1: is nested more than 32 levels deep"),
        ("a: &x [*x]\n", "f.yaml:1: apiVersion: is missing; expected kubeproxy.config.k8s.io/v1alpha1"),
        ("a: *x\n", "f.yaml:1: not valid YAML: found undefined alias"),
        (
            "kind: KubeProxyConfiguration\n",
            "f.yaml:1: apiVersion: is missing; expected kubeproxy.config.k8s.io/v1alpha1",
        ),
        (
            HEAD.replace("v1alpha1", "v1beta1") + "whatever: 1\n",
            'f.yaml:1: apiVersion: must be kubeproxy.config.k8s.io/v1alpha1, got "kubeproxy.config.k8s.io/v1beta1"',
        ),
        (
            HEAD.replace("KubeProxy", "Kubelet"),
            'f.yaml:2: kind: must be KubeProxyConfiguration, got "KubeletConfiguration"',
        ),
        (HEAD + "<<: {mode: ipvs}\n", 'f.yaml:3: merge keys ("<<") are not supported; write the fields out'),
        (HEAD + "? [a]\n: b\n", "f.yaml:3: a field's name must be a word, not a list"),
        (HEAD + "oomScoreAdj: !!int abc\n", 'f.yaml:3: oomScoreAdj: "abc" is not a whole number'),
        (HEAD + f"oomScoreAdj: {'9' * 5000}\n", "f.yaml:3: oomScoreAdj: is too long for a number"),
        (
            HEAD + "hostnameOverride: !mine x\n",
            'f.yaml:3: hostnameOverride: has the YAML tag "!mine", which has no place here',
        ),
        (HEAD + "clientConnection: {qps: .inf}\n", "f.yaml:3: clientConnection.qps: must be finite"),
        (HEAD + "hostnameOverride: on\n", "f.yaml:3: hostnameOverride: expected a string, got true"),
        (
            HEAD + "mode: kernelspace\n",
            "f.yaml:3: mode: kernelspace is the Windows proxy's mode; this proxy runs on Linux; use iptables or ipvs",
        ),
        (HEAD + "conntrack:\n  max: 5\n", "f.yaml:4: conntrack.max: is gone from this API; use conntrack.maxPerCore"),
    ],
)
def test_bad_files_are_answered_not_crashed_on(text: str, problem: str) -> None:
    assert problems(text, head="")[0].startswith(problem)


def test_bytes_that_are_not_text() -> None:
    with pytest.raises(ConfigError, match=r"^f\.yaml:2: is not UTF-8 text$"):
        load_bytes(b"a: 1\n\xff\n", "f.yaml")
    with pytest.raises(ConfigError, match="is larger than"):
        load_bytes(b"#" * (1 << 21), "f.yaml")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load_file(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_file(tmp_path)


def test_strings_take_numbers_as_written() -> None:
    loaded = load("hostnameOverride: 007\nshowHiddenMetricsForVersion: 1.35\n")
    assert loaded.configuration.hostname_override == "007"
    assert loaded.configuration.show_hidden_metrics_for_version == "1.35"


@pytest.mark.parametrize("text", ["2000", "2e3", "2.0E+3", "0x7d0", "2_000"])
def test_numbers_in_every_spelling(text: str) -> None:
    assert load(f"clientConnection: {{qps: {text}}}\n").configuration.client_connection.qps == 2000


def test_a_flush_frequency_may_be_nanoseconds() -> None:
    assert load("logging: {flushFrequency: 2000000000}\n").configuration.logging.flush_frequency.seconds == 2
    assert load("logging: {flushFrequency: 1500ms}\n").configuration.logging.flush_frequency.seconds == 1.5


def test_aliases_of_whole_lists_are_read() -> None:
    loaded = load("mode: ipvs\nnodePortAddresses: &local [10.0.0.0/8]\nipvs: {excludeCIDRs: *local}\n")
    assert loaded.configuration.ipvs.exclude_cidrs == ("10.0.0.0/8",)


def test_origins_say_where_each_value_was_written() -> None:
    loaded = load("ipvs:\n  scheduler: rr\nnodePortAddresses:\n- 10.0.0.0/8\nclusterCIDR: null\n")
    assert str(loaded.origins["ipvs.scheduler"]) == "f.yaml:4"
    assert str(loaded.origins["nodePortAddresses[0]"]) == "f.yaml:6"
    assert "clusterCIDR" not in loaded.origins
    assert "bindAddress" not in loaded.origins
