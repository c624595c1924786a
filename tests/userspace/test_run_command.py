"""`kproxy run --mode userspace --redirect none`, as a developer runs it: without any capability."""

import asyncio
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from kproxy.lab.namespaces import Namespace
from kproxy.lab.process import start
from tests.cli.test_commands import MANIFEST, run

KPROXY = Path(sys.executable).parent / "kproxy"
WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--")

CONFIGURATION = """
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: {mode}
clusterCIDR: 10.244.0.0/16
conntrack: {{maxPerCore: 0}}
"""
ROW = re.compile(r"^default/web:http +80/TCP +(127\.0\.0\.1):(\d+) +1$", re.MULTILINE)


@pytest.mark.root
async def test_it_prints_where_services_are_and_serves_them_there(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(MANIFEST.replace("10.244.1.10", "127.0.0.1"))
    with Namespace("developer") as here:
        here.run(lambda: subprocess.run(["ip", "link", "set", "lo", "up"], check=True))
        pod = here.socket(socket.AF_INET, socket.SOCK_STREAM)
        pod.bind(("127.0.0.1", 8080))
        server = await asyncio.start_server(greet, sock=pod)
        argv = [KPROXY, "run", "--mode", "userspace", "--redirect", "none", "--manifests", tmp_path]
        async with start(here, [*WITHOUT_CAPABILITIES, *map(str, argv)]) as proxy, asyncio.timeout(15):
            while not (row := ROW.search(proxy.output())):
                assert proxy.returncode is None, proxy.output()
                await asyncio.sleep(0.02)
            client = here.socket(socket.AF_INET, socket.SOCK_STREAM)
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, (row[1], int(row[2])))
            reader, writer = await asyncio.open_connection(sock=client)
            assert await reader.read() == b"hello"
            writer.close()
            assert await proxy.stop() == 0
        server.close()


@pytest.mark.root
async def test_its_options_do_not_hold_the_mode_when_the_file_names_another(tmp_path: Path) -> None:
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "web.yaml").write_text(MANIFEST)
    path = tmp_path / "config.yaml"
    path.write_text(CONFIGURATION.format(mode="userspace"))
    argv = [KPROXY, "run", "--config", path, "--workers", "2", "-v", "2", "--manifests", tmp_path / "services"]
    with Namespace("developer") as here:
        here.run(lambda: subprocess.run(["ip", "link", "set", "lo", "up"], check=True))

        def table() -> str:
            command = ["nft", "list", "table", "ip", "kube-proxy"]
            return here.run(lambda: subprocess.run(command, capture_output=True, text=True, check=False).stdout)

        async with start(here, list(map(str, argv))) as proxy, asyncio.timeout(15):
            while "Compared IPv6" not in proxy.output():
                assert proxy.returncode is None, proxy.output()
                await asyncio.sleep(0.02)
            path.write_text(CONFIGURATION.format(mode="nftables"))
            while "10.244.1.10" not in table():
                assert proxy.returncode is None, proxy.output()
                await asyncio.sleep(0.02)


async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    writer.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--redirect", "none"], "are for --mode userspace"),
        (["--mode", "userspace", "--redirect", "tproxy"], "must be one of auto, nftables, iptables, none"),
        (["--mode", "userspace", "--redirect", "none", "--bind", "localhost"], "must be IP addresses"),
        (["--mode", "userspace", "--redirect", "none", "--bind", "::1", "--bind", "::2"], "one of each family"),
    ],
)
def test_options_that_do_not_fit_are_errors(options: list[str], words: str, tmp_path: Path) -> None:
    shown = run("kproxy", "run", "--manifests", str(tmp_path), *options)
    assert shown.returncode == 2
    assert words in shown.stderr
