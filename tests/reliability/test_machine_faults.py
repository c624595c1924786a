"""No room on any disk, and a time of day that jumps: a proxy needs neither."""

import asyncio
import json
import signal
from functools import partial
from pathlib import Path

import pytest

from kproxy.lab.process import start
from tests.daemon.node import BIN, Node, endpoint_slice
from tests.reliability.faked_time import WallClock, needs_libfaketime
from tests.reliability.served_lab import report

pytestmark = pytest.mark.root

# In a mount namespace of its own: new file systems, the configuration kept in them, and filled to the last byte.
_FILL_AND_RUN = """
set -e
config=$(cat "$1/config.yaml") kubeconfig=$(cat "$1/kubeconfig") checkout=$2
cd "$checkout"
for folder in /run /tmp /var/tmp /dev/shm; do
    [ ! -d $folder ] || mount -t tmpfs -o size=64k tmpfs $folder
done
# The program may be in one of them: the working directory is still the old one.
[ -e "$checkout/src" ] || { mkdir -p "$checkout" && mount --no-canonicalize --bind . "$checkout"; }
mkdir -p "$1"
printf %s "$config" >"$1/config.yaml"
printf %s "$kubeconfig" >"$1/kubeconfig"
: >/run/xtables.lock
for folder in /run /tmp /var/tmp /dev/shm; do
    if dd if=/dev/zero of=$folder/full bs=4096 status=none; then echo "$folder is not full"; exit 9; fi
done
shift 2
exec "$@"
"""


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
async def test_every_disk_is_full(here: Node, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XTABLES_LOCKFILE")  # the lock is where it always is: a file, which takes no room
    configuration = here.configuration(mode=mode)
    folders = [str(here.folder), str(BIN.parents[1])]
    wrapped = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _FILL_AND_RUN, "sh", *folders]
    async with start(here.namespace, [*wrapped, str(BIN / "kube-proxy"), "--config", configuration, "-v=2"]) as process:
        await here.eventually(lambda: "Compared IPv6" in process.output(), process)
        assert process.output().count("No space left on device") == 4, "said by dd alone"
        here.store.apply(endpoint_slice("web", "10.244.1.9"))
        rules = ("nft", "list", "table", "ip", "kube-proxy") if mode == "nftables" else ("iptables-save", "-t", "nat")
        await here.eventually(lambda: "10.244.1.9" in here.run(*rules), process)
        assert (await here.get("/healthz", 10256))[0] == 200
        assert process.output().count("No space left on device") == 4
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


@needs_libfaketime
async def test_the_time_of_day_jumps(here: Node, tmp_path: Path) -> None:
    clock = WallClock(tmp_path / "time")
    soon = {"syncPeriod": "2s", "minSyncPeriod": "0s"}
    argv = [str(BIN / "kube-proxy"), "--config", here.configuration(nftables=soon), "-v=2"]
    async with start(here.namespace, argv, clock.environment) as process:
        await here.eventually(lambda: "Compared IPv6" in process.output(), process)
        for number, jump in enumerate((10 * 365 * 86400, -10 * 365 * 86400, 3600, 0), 1):
            clock.jump(jump)
            shown = json.loads((await here.get("/healthz", 10256))[1])["currentTime"]
            assert (await here.get("/healthz", 10256))[0] == 200
            assert (await here.get("/livez", 10256))[0] == 200
            begin = asyncio.get_running_loop().time()
            here.store.apply(endpoint_slice("web", f"10.244.1.{100 + number}"))
            await here.eventually(partial(_has, here, f"10.244.1.{100 + number}"), process)
            took = asyncio.get_running_loop().time() - begin
            assert took < 2
            report(f"clock {jump:+d} s (it is {shown[:19]}): /healthz 200, a change took {took * 1000:.0f} ms")
        assert "Traceback" not in process.output()


def _has(here: Node, endpoint: str) -> bool:
    return endpoint in here.table()
