"""What building network namespaces takes: root's capabilities, or a user namespace of our own."""

import os
from enum import Enum
from pathlib import Path

from kproxy.lab.namespaces import CLONE_NEWNET, CLONE_NEWUSER, unshare

CAP_NET_ADMIN = 12
CAP_SYS_ADMIN = 21


class LabUnavailableError(Exception):
    """The machine or the user cannot build the lab; the message says what is missing."""


class Privilege(Enum):
    """By what right the lab is built; the value is for people."""

    CAPABILITIES = "root"
    USER_NAMESPACE = "an unprivileged user namespace"


def has_capabilities() -> bool:
    """Whether the process may make network namespaces and configure them (capabilities(7))."""
    status = Path("/proc/self/status").read_text()
    effective = int(next(line for line in status.splitlines() if line.startswith("CapEff:")).split()[1], 16)
    return bool(effective >> CAP_NET_ADMIN & 1 and effective >> CAP_SYS_ADMIN & 1)


def obtain() -> Privilege:
    """Make sure that the lab can be built, moving the process into a user namespace if it has to.

    Call it first thing in a program: the kernel lets only a single-threaded process change its user
    namespace (user_namespaces(7)), and there is no way back.

    Raises:
        LabUnavailableError: neither root nor user namespaces.
    """
    if has_capabilities():
        return Privilege.CAPABILITIES
    uid, gid = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
        Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    except OSError as error:
        raise LabUnavailableError(
            f"the lab needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN), or a kernel that allows unprivileged user "
            f"namespaces (sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            f"kernel.apparmor_restrict_unprivileged_userns): {error.strerror}"
        ) from error
    return Privilege.USER_NAMESPACE
