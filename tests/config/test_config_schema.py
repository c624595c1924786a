"""The types as data: complete, described, and free of surprises for the tools that read them."""

from pathlib import Path
from typing import Any

import yaml

from kproxy.config.schema import leaves

HERE = Path(__file__).parent


def paths(tree: dict[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in tree.items():
        found |= paths(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name}
    return found


def test_the_fields_are_those_of_kube_proxy() -> None:
    written = paths(yaml.safe_load((HERE / "default-config.yaml").read_text()))
    # What kube-proxy leaves out of its file while it is empty.
    omitted = {
        "featureGates",
        "windowsRunAsService",
        "logging.vmodule",
        "logging.options.text.splitStream",
        "logging.options.json.splitStream",
    }
    ours = {"udpIdleTimeout"}
    assert {path for path, _ in leaves()} == written | omitted | ours


def test_every_field_is_described() -> None:
    for path, field in leaves():
        assert field.description.endswith("."), path
        assert field.description[0].isupper() or field.description.startswith(("text", "json")), path
