"""Whatever the bytes or the arguments: an answer or a `ConfigError`, never anything else."""

import contextlib
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from kproxy.config import ConfigError, KubeProxyConfiguration, Problem, load_bytes, parse_command_line
from kproxy.config.decoding import read_document
from kproxy.config.defaults import effective
from kproxy.config.dump import to_json, to_yaml
from kproxy.config.duration import Duration, FlushInterval
from kproxy.config.flag_table import flags
from kproxy.config.loading import build
from kproxy.config.logging_section import FormatOptions, Logging, OutputRouting, VModule
from kproxy.config.mode_sections import IPVS, IPTables, NFTables
from kproxy.config.schema import fields_of, leaves
from kproxy.config.sections import ClientConnection, Conntrack, DetectLocal, Section, Winkernel

REAL_FILE = (Path(__file__).parent / "samples" / "ipvs.yaml").read_text()
HEAD = b"apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"

WORDS = st.sampled_from([*(path for path, _ in leaves()), *fields_of(KubeProxyConfiguration), "x", "<<", "", "~"])
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=4) | st.dates()
)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))
PIECES = (
    "mode iptables nodePortAddresses [ ] { } , &a *a !!int !!binary !<x> %YAML %TAG 1.1 ' \" # 30s 0x 0b_ 1:30 << = "
    f".nan \ufeff \U0001f600 \\ud800 {'9' * 70} 1e999"
)
SNIPPETS = st.lists(
    st.sampled_from([*PIECES.split(), *("\n", "  ", ": ", "- ", "? ", "> ", "| \n", "---\n", "...\n", "\t", "\x85")]),
    max_size=30,
).map("".join)


def answered(data: bytes) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        load_bytes(data, "f.yaml")
    except ConfigError as error:
        problems = error.problems
        assert problems
    for problem in problems:
        assert problem.message
        assert str(problem).startswith("f.yaml")
        assert len(str(problem).splitlines()) == 1


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    answered(data)
    answered(HEAD + data)


@settings(deadline=None, max_examples=300)
@given(SNIPPETS)
def test_any_yaml_syntax(text: str) -> None:
    answered(HEAD + text.encode("utf-8", "surrogatepass"))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), SNIPPETS | st.text(max_size=3)), max_size=4))
def test_any_damage_to_a_real_file(edits: list[tuple[float, int, str]]) -> None:
    text = REAL_FILE
    for place, removed, added in edits:
        at = int(place * len(text))
        text = text[:at] + added + text[at + removed :]
    answered(text.encode("utf-8", "surrogatepass"))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(WORDS, TREES, max_size=4))
@example({"apiVersion": "\x85", "mode": "\u2028", "bindAddress": "\x7f\U000e0001"})
@example({"mode": "\u2028"})
def test_any_values_in_any_place(tree: dict[str, Any]) -> None:
    nested: dict[str, Any] = {}
    for path, value in tree.items():
        target, *names = nested, *path.split(".")
        with contextlib.suppress(AttributeError, TypeError):
            for name in names[:-1]:
                target = target.setdefault(name, {})
            target[names[-1]] = value
    answered(HEAD + yaml.safe_dump(nested).encode())


ARGUMENTS = st.one_of(
    st.text(max_size=10),
    st.sampled_from(
        [f"--{name}" for name in flags()] + ["-v", "-h", "-", "--", "---", "--=", "-v=", "-=", "5", "true"]
    ),
    st.builds(lambda name, value: f"--{name}={value}", st.sampled_from(list(flags())), st.text(max_size=20)),
)


@settings(deadline=None, max_examples=300)
@given(st.lists(ARGUMENTS, max_size=6))
def test_any_arguments(arguments: list[str]) -> None:
    with contextlib.suppress(ConfigError):
        parse_command_line(arguments)


DURATIONS = st.integers(0, 10**15).map(Duration)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Z", "Cn"]), max_size=12)
COUNTS = st.integers(0, 2**31 - 1)


def sections(section: type[Section], /, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Sections with the given values, and every other field from a strategy by its type."""
    by_type: dict[object, st.SearchStrategy[Any]] = {bool: st.booleans(), str: NAMES, Duration: DURATIONS}
    missing = {
        attribute: by_type[field.type]
        for attribute, field in zip(section.__struct_fields__, fields_of(section).values(), strict=True)
        if attribute not in given and field.type in by_type
    }
    return st.builds(section, **missing, **given)


OPTIONS = sections(OutputRouting, info_buffer_size=st.sampled_from(["0", "512", "64Ki"]))
CIDRS = st.ip_addresses().map(lambda address: f"{address}/{address.max_prefixlen}")
CONFIGURATIONS = sections(
    KubeProxyConfiguration,
    api_version=st.just("kubeproxy.config.k8s.io/v1alpha1"),
    kind=st.just("KubeProxyConfiguration"),
    mode=st.sampled_from(["iptables", "ipvs", "nftables", "userspace"]),
    iptables=sections(IPTables, masquerade_bit=st.integers(0, 31)),
    ipvs=sections(IPVS, exclude_cidrs=st.none() | st.lists(CIDRS, max_size=2).map(tuple)),
    nftables=sections(NFTables, masquerade_bit=st.integers(0, 31)),
    winkernel=sections(Winkernel),
    bind_address=st.ip_addresses().map(str),
    detect_local_mode=st.sampled_from(["ClusterCIDR", "NodeCIDR"]),
    detect_local=sections(DetectLocal),
    cluster_cidr=st.just("") | CIDRS,
    node_port_addresses=st.none() | st.lists(CIDRS, max_size=2).map(tuple) | st.just(("primary",)),
    client_connection=sections(ClientConnection, qps=st.floats(-10, 1e6), burst=COUNTS),
    conntrack=sections(Conntrack, max_per_core=COUNTS, min=COUNTS),
    oom_score_adj=st.integers(-1000, 1000),
    logging=st.builds(
        Logging,
        format=st.sampled_from(["text", "json"]),
        flush_frequency=st.integers(0, 10**12).map(FlushInterval),
        verbosity=COUNTS,
        vmodule=st.lists(sections(VModule, verbosity=COUNTS), max_size=2).map(tuple),
        options=st.builds(FormatOptions, text=OPTIONS, json=OPTIONS),
    ),
    feature_gates=st.dictionaries(NAMES.filter(bool), st.booleans(), max_size=3),
)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(CONFIGURATIONS)
def test_what_is_written_reads_back(configuration: KubeProxyConfiguration) -> None:
    expected = effective(configuration)
    for data in (to_yaml(expected).encode(), to_json(expected)):
        document = read_document(data, "f.yaml")
        assert document.problems == []
        assert build(document) == expected
