"""Which logger the kernel hands packets to when it is not told one (net/netfilter/nf_log.c).

Rules' own `-j LOG` and `-j NFLOG` name theirs. Traced rules of ip_tables and packets that connection tracking finds
invalid do not: they go to the one that is set for their IP family in the packet's network namespace.
"""

from kproxy.kernel.sysctls import read_sysctl, set_sysctl
from kproxy.services.addresses import Family

NFNETLINK_LOG = "nfnetlink_log"
NO_LOGGER = "NONE"

_SYSCTL = {Family.IPV4: "net/netfilter/nf_log/2", Family.IPV6: "net/netfilter/nf_log/10"}
"""By the number of the family (NFPROTO_*)."""


def read_logger(family: Family) -> str:
    """The name of the logger that is set in the calling thread's network namespace, or `NONE`.

    Raises:
        OSError: the kernel has no such setting (ENOENT), or it may not be read
    """
    name = read_sysctl(_SYSCTL[family])
    if name is None:
        raise FileNotFoundError(f"the kernel has no setting {_SYSCTL[family]}")
    return name


def set_logger(family: Family, name: str) -> None:
    """Set it.

    Raises:
        OSError: there is no logger of that name (ENOENT), or it may not be set (EACCES, EPERM, EROFS)
    """
    set_sysctl(_SYSCTL[family], name)
