"""What a module Pod may do is enough to load real modules of a real kernel, and no more than it takes."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kproxy.switch.cluster_objects import Place
from kproxy.switch.module_pod import complaint, module_pod
from kproxy.switch.preflight import modules_for
from tests.switch.kubelet import host_paths, run_container

pytestmark = [pytest.mark.root, pytest.mark.ipvs]

SCHEDULER = "ovf"
"""One that no virtual server uses."""


def pod_for(*modules: str) -> dict[str, Any]:
    daemon_set = {"spec": {"template": {"spec": {"containers": [{"image": "proxy"}]}}}}
    return module_pod(Place(), daemon_set, "n1", "proxy", "ipvs", modules, 60.0)


def run(pod: dict[str, Any], folder: Path) -> dict[str, Any]:
    return asyncio.run(run_container(pod, folder / str(pod["metadata"]["name"]), host_paths(pod, Path("/"))))


def unload(module: str) -> Path:
    """Have a module not loaded, whatever other tests did; returns where the kernel says when it is."""
    path = Path(f"/sys/module/{module}/initstate")
    if path.exists():
        subprocess.run(["modprobe", "-r", module], check=True)
    assert not path.exists()
    return path


def test_modules_are_loaded_and_listed(tmp_path: Path) -> None:
    loaded = unload(f"ip_vs_{SCHEDULER}")
    wanted = modules_for("ipvs", SCHEDULER)
    status = run(pod_for(*wanted), tmp_path)
    assert status["phase"] == "Succeeded", status
    assert loaded.exists()
    lines = Path("/etc/modules-load.d/kproxy.conf").read_text().splitlines()
    assert lines == ["# Kernel modules of the proxy mode ipvs; written by kproxy switch.", *wanted]


def test_a_module_that_does_not_exist(tmp_path: Path) -> None:
    status = run(pod_for("ip_vs", "ip_vs_nonesuch"), tmp_path)
    assert "ip_vs_nonesuch: modprobe: FATAL: Module ip_vs_nonesuch not found in directory /lib/modules/" in complaint(
        {"status": status}
    )


def test_without_its_capability_it_fails(tmp_path: Path) -> None:
    loaded = unload("ip_vs_fo")
    pod = pod_for("ip_vs_fo")
    pod["spec"]["containers"][0]["securityContext"]["capabilities"]["add"] = []
    status = run(pod, tmp_path)
    assert "Operation not permitted" in complaint({"status": status})
    assert not loaded.exists()
