"""The chains of nf_tables that see every packet: where they are attached, and what they do when no rule decides."""

import errno
from typing import NamedTuple

from kproxy.kernel.netlink import NETLINK_NETFILTER, NetlinkSocket, attributes, reread
from kproxy.kernel.nftnl import protocol
from kproxy.kernel.nftnl.protocol import SUBSYSTEM, generic

_FAMILIES = {1: "inet", 2: "ip", 5: "netdev", 7: "bridge", 10: "ip6"}
"""NFPROTO_* (linux/netfilter.h)."""
_HOOKS = {0: "prerouting", 1: "input", 2: "forward", 3: "output", 4: "postrouting"}
_DROP = 0
_READINGS = 5


class BaseChain(NamedTuple):
    family: str
    """As nft names it."""
    table: str
    name: str
    hook: str
    type: str
    """`filter`, `nat` or `route`."""
    drops: bool
    """Its policy is to drop."""

    @property
    def ip_versions(self) -> tuple[int, ...]:
        return {"ip": (4,), "ip6": (6,), "inet": (4, 6)}.get(self.family, ())

    def __str__(self) -> str:
        return f"{self.family} {self.table} {self.name}"


def base_chains() -> list[BaseChain]:
    """All of this network namespace's; none where the kernel has no nf_tables.

    Raises:
        OSError: not permitted (EPERM)
    """
    with NetlinkSocket(NETLINK_NETFILTER) as netlink:
        try:
            return reread(lambda: _read(netlink), _READINGS)
        except OSError as error:
            if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.EAFNOSUPPORT):
                return []
            raise


def _read(netlink: NetlinkSocket) -> list[BaseChain]:
    chains = []
    for message in netlink.dump(SUBSYSTEM << 8 | protocol.GETCHAIN, generic(0)):
        found = attributes(message.body, 4)
        if protocol.CHAIN_HOOK not in found:
            continue
        family = message.body[0]
        hook = int.from_bytes(attributes(found[protocol.CHAIN_HOOK]).get(protocol.HOOK_NUMBER, b""), "big")
        policy = found.get(protocol.CHAIN_POLICY)
        chains.append(
            BaseChain(
                family=_FAMILIES.get(family, str(family)),
                table=_text(found[protocol.CHAIN_TABLE]),
                name=_text(found[protocol.CHAIN_NAME]),
                hook=_HOOKS.get(hook, str(hook)) if family in (1, 2, 10) else "other",
                type=_text(found.get(protocol.CHAIN_TYPE, memoryview(b""))),
                drops=policy is not None and int.from_bytes(policy, "big") == _DROP,
            )
        )
    return chains


def _text(value: memoryview) -> str:
    return bytes(value).rstrip(b"\0").decode(errors="replace")
