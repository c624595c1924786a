"""The name of this node's Node object, by the rules that kubelet and kube-proxy share."""

from pathlib import Path

_HOSTNAME = Path("/proc/sys/kernel/hostname")


class NodeNameError(ValueError):
    """No name can be had; the message says why, and what to set."""


def node_name(override: str) -> str:
    """Choose the name, without spaces around it and in lower case.

    Args:
        override: `hostnameOverride`; empty: the host's name

    Raises:
        NodeNameError: what was chosen is blank
    """
    name = (override or _HOSTNAME.read_text(encoding="utf-8")).strip().lower()
    if name:
        return name
    if override:
        raise NodeNameError("hostnameOverride is blank: name this node's Node object, or leave it empty")
    raise NodeNameError("this host has no name: set hostnameOverride to the name of its Node object")
