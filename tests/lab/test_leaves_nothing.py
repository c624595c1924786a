"""The lab ends with its process: no namespace, no link and no program outlives it, even after SIGKILL."""

import asyncio
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from kproxy.lab.namespaces import Namespace

pytestmark = pytest.mark.root

RTM_DELLINK = 17
RTMGRP_LINK = 1

# Builds a lab with a program in it, ties the node to the test's own namespace by a cable, and waits to be killed.
VICTIM = """
import asyncio, os, sys
from pyroute2 import IPRoute
from kproxy.lab.lab import Lab

async def main():
    outside = os.open(sys.argv[1], os.O_RDONLY)
    async with Lab.open() as lab, lab.process("node", ["sleep", "300"]) as child:
        def tie():
            with IPRoute() as rtnl:
                rtnl.link("add", ifname="tie", kind="veth", peer={"ifname": "tie", "net_ns_fd": outside})
        lab.namespace("node").run(tie)
        os.close(outside)
        print(child.pid, flush=True)
        await asyncio.sleep(300)

asyncio.run(main())
"""

WITHOUT_CAPABILITIES = ["setpriv", "--bounding-set=-all"]
# A user of no importance, who may still read the interpreter's files.
ORDINARY_USER = [
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search", "--bounding-set=-all,+dac_read_search",
]  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_nothing_outlives_the_lab(number: signal.Signals) -> None:
    loop = asyncio.get_running_loop()
    with Namespace("outside") as outside, link_events(outside) as events:
        argv = [sys.executable, "-c", VICTIM, f"/proc/{os.getpid()}/fd/{outside.fd}"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as victim:  # noqa: ASYNC220
            assert victim.stdout is not None
            child = os.pidfd_open(int(victim.stdout.readline()))
            assert "tie" in [name for _, name in outside.run(socket.if_nameindex)]
            victim.send_signal(number)
            async with asyncio.timeout(10):
                # The far end of the cable goes when the namespace that it was in does.
                while message_type(await loop.sock_recv(events, 65536)) != RTM_DELLINK:
                    pass
                ended = asyncio.Event()
                loop.add_reader(child, ended.set)
                await ended.wait()
        loop.remove_reader(child)
        os.close(child)


def link_events(namespace: Namespace) -> socket.socket:
    events = namespace.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    events.bind((0, RTMGRP_LINK))
    return events


def message_type(message: bytes) -> int:
    kind: int = struct.unpack_from("=IH", message)[1]
    return kind


def test_without_rights_the_message_says_what_is_missing() -> None:
    # Root without capabilities may not even map itself into a user namespace.
    code = "from kproxy.lab.demo import main; raise SystemExit(main([]))"
    done = subprocess.run(
        [*WITHOUT_CAPABILITIES, sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "the lab needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN)" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.skipif(
    Path("/proc/sys/user/max_user_namespaces").read_text().strip() == "0", reason="no user namespaces on this machine"
)
def test_an_ordinary_user_gets_a_user_namespace() -> None:
    code = """
import asyncio
from kproxy.lab.lab import Lab
from kproxy.lab.privileges import obtain

async def main():
    async with Lab.open() as lab:
        print(await lab.probe("ext", "TCP", "fd00:10:244:2::b", 8080))

print(obtain())
asyncio.run(main())
"""
    done = subprocess.run([*ORDINARY_USER, sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "USER_NAMESPACE" in done.stdout
    assert "pod-d" in done.stdout
