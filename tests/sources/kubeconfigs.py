"""Kubeconfig files as tests need them."""

from pathlib import Path
from typing import Any

import yaml


def write_kubeconfig(path: Path, cluster: dict[str, Any], user: dict[str, Any] | None = None) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": cluster}],
        "contexts": [{"name": "me@here", "context": {"cluster": "here", "user": "me"}}],
        "users": [{"name": "me", "user": user or {}}],
        "current-context": "me@here",
    }
    path.write_text(yaml.safe_dump(content))
    return path
