"""What a report says of the machine."""

from pathlib import Path

import pytest

from kproxy.bench.results.machine import describe


def test_a_kernel_s_release_in_a_complaint_is_not_taken_for_a_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = {
        "ipvsadm": "echo modprobe: Module ip_vs not found in directory /lib/modules/6.1.0-1-amd64 >&2; exit 2",
        "wrk": "echo 'wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer'; exit 1",
        "nft": "echo 'nftables v1.0.6 (Lester Gooch #5)'",
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = describe().programs
    assert (found["ipvsadm"], found["wrk"], found["nft"]) == ("unknown", "4.1.0-3+b2", "1.0.6")
    assert found["iperf3"] == "missing"
