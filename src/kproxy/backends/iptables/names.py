"""The chains of kube-proxy's iptables mode, by the names that CNI plugins, the kubelet and diagnostic tools know.

A name is `KUBE-SVC-` and the like before the first 16 characters of the base32 of a SHA-256 over
`<namespace>/<name>:<port name><protocol>`, with `<address>:<port>` added for an endpoint.
"""

import hashlib
import re
from urllib.parse import quote

from kproxy.services.model import ServicePort

SERVICES, NODEPORTS = "KUBE-SERVICES", "KUBE-NODEPORTS"
EXTERNAL_SERVICES, PROXY_FIREWALL = "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL"
POSTROUTING, MARK_MASQ, FORWARD = "KUBE-POSTROUTING", "KUBE-MARK-MASQ", "KUBE-FORWARD"
FIREWALL = "KUBE-FIREWALL"
"""Shared with the kubelet, which writes the same rule into it."""
CANARY = "KUBE-PROXY-CANARY"
"""Empty; that it is gone tells that somebody flushed its table."""
KUBELET_CANARY, KUBELET_HINT = "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT"
"""What a kubelet leaves in the mangle table of the variant that the node uses (KEP-3178)."""

PER_SERVICE = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-", "KUBE-XLB-")
"""How the names of single Services' chains begin; `KUBE-XLB-` is of proxies before v1.24."""

_PLAIN = re.compile(r"[A-Za-z0-9._-]*", re.ASCII)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_sha256 = hashlib.sha256


def escape(name: str) -> str:
    """Make a name of the API harmless in a rule: `%` and hexadecimal for what no valid name has.

    Valid names come back as they are, and no two names become the same.
    """
    return name if _PLAIN.fullmatch(name) else quote(name, safe="", errors="surrogatepass")


def identity(port: ServicePort) -> str:
    """`<namespace>/<name>:<port name>`, as hashes and comments have it; only `<namespace>/<name>` for unnamed ports."""
    service = f"{escape(port.service.namespace)}/{escape(port.service.name)}"
    return f"{service}:{escape(port.port_name)}" if port.port_name else service


def chain_hash(words: bytes) -> str:
    """The 16 characters that end a chain's name."""
    bits = int.from_bytes(_sha256(words).digest()[:10], "big")
    pairs = _PAIRS
    return (
        pairs[bits >> 70]
        + pairs[bits >> 60 & 1023]
        + pairs[bits >> 50 & 1023]
        + pairs[bits >> 40 & 1023]
        + pairs[bits >> 30 & 1023]
        + pairs[bits >> 20 & 1023]
        + pairs[bits >> 10 & 1023]
        + pairs[bits & 1023]
    )
