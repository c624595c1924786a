"""The manifests as the real kubectl and helm render them."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import yaml

CHECKOUT = Path(__file__).parents[2]
DEPLOY = CHECKOUT / "deploy"
KUSTOMIZE = DEPLOY / "kustomize"
CHART = DEPLOY / "helm" / "kproxy"
MODES = ("nftables", "iptables", "ipvs", "userspace")

Manifest: TypeAlias = dict[str, Any]
Manifests: TypeAlias = Mapping[str, Manifest]
"""Objects by kind and name: `DaemonSet/kproxy`."""


class RenderingError(Exception):
    """What the program said when it refused."""


@dataclass(frozen=True)
class Renderer:
    """Runs kubectl and helm out of a folder, which is their home as well."""

    folder: Path

    def kustomize(self, folder: Path) -> Manifests:
        return _by_name(self._run("kubectl", "kustomize", str(folder)))

    def helm(self, mode: str = "nftables", **values: Any) -> Manifests:
        """Render the chart for a cluster whose API server is 192.0.2.10:6443; `values` replace or add to that."""
        made = {"mode": mode, "apiServer": {"host": "192.0.2.10", "port": 6443}, **values}
        arguments = [f"--set-json={name}={json.dumps(value)}" for name, value in made.items()]
        return _by_name(self._run("helm", "template", "kproxy", str(CHART), "--namespace=kube-system", *arguments))

    def lint(self) -> str:
        return self._run("helm", "lint", "--strict", str(CHART), "--set=apiServer.host=192.0.2.10")

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [str(self.folder / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder)},
        )
        if done.returncode:
            raise RenderingError(done.stderr)
        return done.stdout


def _by_name(text: str) -> Manifests:
    found = [document for document in yaml.safe_load_all(text) if document]
    named = {f"{manifest['kind']}/{manifest['metadata']['name']}": manifest for manifest in found}
    assert len(named) == len(found), "two objects have the same kind and name"
    return named


def pod_spec(manifests: Manifests) -> dict[str, Any]:
    spec: dict[str, Any] = manifests["DaemonSet/kproxy"]["spec"]["template"]["spec"]
    return spec


def container(manifests: Manifests) -> dict[str, Any]:
    (only,) = pod_spec(manifests)["containers"]
    found: dict[str, Any] = only
    return found
