"""Whether this kernel tells TCP clients over IPv6 about ICMP rejections.

Some do not: a bare `reject` rule is then a timeout to the client, and no proxy can change that.
"""

import subprocess

from kproxy.lab.lab import Lab
from kproxy.lab.probe import Result
from kproxy.lab.topology import EXTERNAL, HOST_PORT, PEER, address_of

_RULES = """
table ip6 rejection-probe {
    chain input { type filter hook input priority 0; tcp dport %d reject; }
}
"""


async def tcp6_rejections_arrive(lab: Lab) -> bool:
    """Try a bare rejection on a host that the proxy under test does not run on.

    Raises:
        OSError: nft(8) is missing.
        subprocess.CalledProcessError: it fails.
    """
    peer = lab.namespace(PEER.name)
    rules = (_RULES % HOST_PORT).encode()

    def nft(*arguments: str, stdin: bytes = b"") -> None:
        peer.run(lambda: subprocess.run(["nft", *arguments], input=stdin, check=True, capture_output=True))

    nft("-f", "-", stdin=rules)
    outcome = await lab.probe(EXTERNAL.name, "TCP", str(address_of(PEER.name, 6)), HOST_PORT)
    nft("delete", "table", "ip6", "rejection-probe")
    return outcome.result is Result.REJECTED
