"""The built image's root file system at work, with the privileges that the manifests give it.

KPROXY_IMAGE is the folder with that root file system: `make test-image` builds it.
"""

import asyncio
import json
import os
import re
import shlex
import stat
import subprocess
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

import pytest

from kproxy.lab.process import start
from tests.daemon import node as daemon_node
from tests.daemon.node import Node, endpoint_slice
from tests.deploy.rendering import KUSTOMIZE, Renderer, container
from tests.deploy.served_node import answer, served_node

IMAGE = Path(os.environ.get("KPROXY_IMAGE", ""))
PATIENCE = 120.0
"""Seconds; an emulated machine, which ipvs mode may need, is ten times as slow."""
RUN = str(Path(__file__).with_name("run-in-image"))

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif("KPROXY_IMAGE" not in os.environ, reason="make test-image builds the image and runs this"),
]


@pytest.fixture
async def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Node]:
    monkeypatch.setattr(daemon_node, "PATIENCE", PATIENCE)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    async with served_node(tmp_path) as made:
        yield made


def capability_mask(context: dict[str, Any]) -> int:
    """As in /proc/PID/status; the numbers are those of linux/capability.h."""
    numbers = {"NET_ADMIN": 12, "NET_RAW": 13}
    return sum(1 << numbers[name] for name in context["capabilities"]["add"])


def in_image(context: dict[str, Any], *command: str) -> list[str]:
    """The command line that runs something in the image with a container's security context."""
    added = [f"+{name.lower()}" for name in context.get("capabilities", {}).get("add", [])]
    privileged = context.get("privileged", False)
    options = ["writable-sysctls"] if privileged else []
    if not context.get("allowPrivilegeEscalation", True):
        options.append("no-new-privs")
    capabilities = "+all" if privileged else ",".join(["-all", *added])
    user = str(context["runAsUser"])
    return ["unshare", "--mount", RUN, str(IMAGE.absolute()), user, capabilities, " ".join(options), *command]


NEEDS_IPVS = pytest.mark.skipif(not Path("/proc/net/ip_vs").exists(), reason="this kernel has no IPVS; tests/vm/run")


@pytest.mark.parametrize("mode", ["nftables", "iptables", pytest.param("ipvs", marks=NEEDS_IPVS), "userspace"])
async def test_it_forwards_traffic_with_the_privileges_of_its_manifest(here: Node, mode: str, render: Renderer) -> None:
    manifests = render.kustomize(KUSTOMIZE / "overlays" / mode)
    (init,) = manifests["DaemonSet/kproxy"]["spec"]["template"]["spec"]["initContainers"]
    arguments = ["kube-proxy", "--config", here.configuration(mode=mode), "-v=2"]
    (here.folder / "kubeconfig").chmod(0o644)
    prepared = here.run(*in_image(init["securityContext"], *arguments, "--init-only"))
    assert "Traceback" not in prepared
    context = container(manifests)["securityContext"]
    async with start(here.namespace, in_image(context, *arguments)) as process:
        await here.eventually(lambda: "Compared IPv6" in process.output(), process)
        assert await answer(here, "10.96.0.10", 80) == b"192.0.2.1"
        status = here.run("cat", f"/proc/{process.pid}/status")
        assert re.search(rf"^Uid:\t{context['runAsUser']}\t", status, re.MULTILINE)
        assert re.search(rf"^CapEff:\t{capability_mask(context):016x}$", status, re.MULTILINE)
        here.store.apply(endpoint_slice("web", "192.0.2.2"))
        async with asyncio.timeout(PATIENCE):
            while await answer(here, "10.96.0.10", 80) != b"192.0.2.2":
                pass


async def test_another_user_needs_leave_to_gain_the_capability(here: Node) -> None:
    context = {"runAsUser": 65532, "capabilities": {"add": ["NET_ADMIN"]}, "allowPrivilegeEscalation": False}
    path = here.configuration()
    (here.folder / "kubeconfig").chmod(0o644)
    shown = here.run(*in_image(context, "kube-proxy", "--config", path), check=False)
    assert "no permission to use nf_tables: run as root, or with the capability NET_ADMIN" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("command", ["kube-proxy --version", "kproxy --version", "iptables --version", "modprobe -V"])
def test_it_has_the_programs(command: str) -> None:
    context = {"runAsUser": 65532, "capabilities": {"add": ["NET_ADMIN"]}}
    done = subprocess.run(in_image(context, *shlex.split(command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in {"Kubernetes", "kproxy", "iptables", "kmod"}


def test_no_program_gives_its_callers_more_privileges() -> None:
    special = [
        path
        for path in IMAGE.rglob("*")
        if path.is_file() and not path.is_symlink() and path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)
    ]
    assert special == []
    capable = [
        path.relative_to(IMAGE)
        for path in IMAGE.rglob("*")
        if not path.is_symlink() and "security.capability" in os.listxattr(path)
    ]
    assert capable == [Path("opt/kproxy/bin/python3")]


def test_it_is_small_and_has_no_tools_to_build_with() -> None:
    blocks = sum(path.lstat().st_blocks for path in IMAGE.rglob("*"))
    assert blocks * 512 < 300 << 20
    assert [path for name in ("pip", "cc", "nft") for path in IMAGE.rglob(f"bin/{name}")] == []


def test_the_archive_keeps_user_and_capability() -> None:
    with tarfile.open(IMAGE.with_name("kproxy.tar")) as archive:

        def opened(name: str) -> IO[bytes]:
            member = archive.extractfile(name)
            assert member is not None
            return member

        (entry,) = json.load(opened("manifest.json"))
        config = json.load(opened(entry["Config"]))["config"]
        headers: dict[str, str] = {}
        for layer in entry["Layers"]:
            with tarfile.open(fileobj=opened(layer)) as files:
                headers |= next((file.pax_headers for file in files if file.name == "opt/kproxy/bin/python3"), {})
    assert "docker.io/library/kproxy:0.1.0" in entry["RepoTags"], "what kubelets call kproxy:0.1.0"
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["kube-proxy"]
    assert "SCHILY.xattr.security.capability" in headers
