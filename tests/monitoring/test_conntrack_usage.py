"""How full connection tracking is, as the kernel tells it."""

import socket
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from kproxy.node.conntrack_usage import ConntrackUsage

TABLE = """table inet track {
    chain output { type filter hook output priority 0; ct state new accept; }
}
"""


def shown(usage: ConntrackUsage) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(usage)
    return {(s.name, *s.labels.values()): s.value for family in registry.collect() for s in family.samples}


@pytest.mark.root
def test_flows_are_counted_in_this_threads_namespace(network_namespace: None) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["nft", "-f", "-"], input=TABLE, text=True, check=True)
    before = shown(ConntrackUsage())
    assert before["kproxy_conntrack_entries",] == 0
    assert before["kproxy_conntrack_entries_limit",] >= 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for port in (4001, 4002, 4003):
            sender.sendto(b"x", ("127.0.0.1", port))
    assert shown(ConntrackUsage())["kproxy_conntrack_entries",] == 3
    assert {name[1] for name in before if name[0] == "kproxy_conntrack_losses_total"} == {
        "drop",
        "early_drop",
        "insert_failed",
    }


COLUMNS = """entries clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop \
icmp_error  expect_new expect_create expect_delete search_restart
"""
CPUS = """00000002 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000001 0000000a 00000010 \
00000000  00000000 00000000 00000000 00000000
00000002 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000002 00000005 00000000 \
00000000  00000000 00000000 00000000 00000000
"""


@pytest.mark.parametrize(
    ("text", "losses"),
    [
        (COLUMNS + CPUS, {"insert_failed": 3, "drop": 15, "early_drop": 16}),
        ("entries drop\n00000001 0000000f\n", {"drop": 15}),
        ("entries\n00000001\n", {}),
        ("", {}),
        ("entries drop\n00000001\n", {}),
        ("entries drop\n00000001 many\n", {}),
    ],
    ids=["two CPUs", "an older kernel", "none of ours", "empty", "cut short", "no number"],
)
def test_losses_are_summed_over_cpus_by_the_columns_names(tmp_path: Path, text: str, losses: dict[str, int]) -> None:
    path = tmp_path / "nf_conntrack"
    path.write_text(text)
    found = shown(ConntrackUsage(path))
    assert {name[1]: value for name, value in found.items() if name[0] == "kproxy_conntrack_losses_total"} == losses


def test_a_kernel_without_statistics_shows_no_losses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not [name for name in shown(ConntrackUsage(tmp_path / "none")) if "losses" in name[0]]
    assert caplog.text == ""


def test_what_cannot_be_understood_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "nf_conntrack").write_text("entries drop\n1 x\n")
    shown(ConntrackUsage(tmp_path / "nf_conntrack"))
    assert "Connection tracking's statistics cannot be read" in caplog.text
