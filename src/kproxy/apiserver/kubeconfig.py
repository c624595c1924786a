"""The kubeconfig file that lets `kubectl` and a kube-proxy find the server."""

import os
from pathlib import Path

import yaml


def write_kubeconfig(path: Path, url: str, *, token: str = "", certificate_authority: Path | None = None) -> None:
    """Write a kubeconfig with one cluster, readable by its owner only; raises `OSError`."""
    cluster: dict[str, str] = {"server": url}
    if certificate_authority is not None:
        cluster["certificate-authority"] = str(certificate_authority.resolve())
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "kproxy", "cluster": cluster}],
        "users": [{"name": "kproxy", "user": {"token": token} if token else {}}],
        "contexts": [{"name": "kproxy", "context": {"cluster": "kproxy", "user": "kproxy"}}],
        "current-context": "kproxy",
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        yaml.safe_dump(config, file, sort_keys=False)
    temporary.replace(path)
