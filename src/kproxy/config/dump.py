"""A configuration written out, in the shape and order in which Kubernetes writes it.

Keys are sorted; empty lists that mean "not set" are `null`; the fields that v1alpha1 marks `omitempty`, and the one
that is ours (`udpIdleTimeout`), appear only when set.
"""

from typing import Any

import msgspec
import yaml

from kproxy.config.duration import Duration
from kproxy.config.types import KubeProxyConfiguration
from kproxy.config.yaml_source import resolve_exponents

CONFIGZ_NAME = "kubeproxy.config.k8s.io"
"""The key under which `/configz` shows this configuration."""

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_STRING_TAG = "tag:yaml.org,2002:str"


def to_yaml(configuration: KubeProxyConfiguration) -> str:
    """Return the YAML text, as `--write-config-to` stores it."""
    return str(yaml.dump(to_tree(configuration), Dumper=_GoStyleDumper, width=1 << 20, allow_unicode=True))


def to_json(configuration: KubeProxyConfiguration) -> bytes:
    """Return one JSON object."""
    return msgspec.json.encode(to_tree(configuration))


def to_configz(configuration: KubeProxyConfiguration) -> bytes:
    """Return the body of `/configz`.

    Since v1.36 (kubernetes/kubernetes#136044) that is v1alpha1 with its kind and version. Before, Go's names for the
    fields of the internal type came out (`"OOMScoreAdj"`).
    """
    return msgspec.json.encode({CONFIGZ_NAME: to_tree(configuration)})


def to_tree(configuration: KubeProxyConfiguration) -> dict[str, Any]:
    """Return plain values with sorted keys."""
    tree = to_full_tree(configuration)
    _omit_empty(tree, "featureGates", "windowsRunAsService")
    if not configuration.udp_idle_timeout:
        del tree["udpIdleTimeout"]
    _omit_empty(tree["logging"], "vmodule")
    for options in tree["logging"]["options"].values():
        _omit_empty(options, "splitStream")
    return tree


def to_full_tree(configuration: KubeProxyConfiguration) -> dict[str, Any]:
    """Return plain values with sorted keys, what a file would leave out included."""
    tree: dict[str, Any] = msgspec.to_builtins(configuration, enc_hook=_encode, order="sorted")
    qps = tree["clientConnection"]["qps"]
    tree["clientConnection"]["qps"] = int(qps) if qps == int(qps) else qps
    return tree


def _encode(value: object) -> str:
    if isinstance(value, Duration):
        return str(value)
    raise NotImplementedError(type(value))


def _omit_empty(tree: dict[str, Any], *names: str) -> None:
    for name in names:
        if not tree[name]:
            del tree[name]


class _GoStyleDumper(_Dumper):  # type: ignore[misc]
    """Quotes as Go's YAML does: double quotes for the empty string and for text that would read as another type."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_string(dumper: Any, text: str) -> Any:
    ambiguous = dumper.resolve(yaml.ScalarNode, text, (True, False)) != _STRING_TAG
    return dumper.represent_scalar(_STRING_TAG, text, style='"' if ambiguous or not text else None)


_GoStyleDumper.add_representer(str, _represent_string)
resolve_exponents(_GoStyleDumper)
