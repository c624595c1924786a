"""Statements that import what a start imports."""

from typing import Final

VERSION: Final = "from kproxy.cli.kube_proxy import run; run(['--version'])"
SERVING: Final = (
    "import kproxy.cli.kube_proxy, kproxy.daemon.daemon, kproxy.sources.kubernetes, kproxy.sources.kubeconfig, "
    "kproxy.backends.nftables.backend, kproxy.daemon.logs, kproxy.kernel.instance_lock"
)
"""All that a proxy in nftables mode needs until it serves."""
