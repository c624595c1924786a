"""Who else tells of a cluster: one that has nothing to tell never stops the others, nor the run."""

import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lightkube import AsyncClient, KubeConfig

from kproxy.apiserver import ApiServer, Store
from kproxy.apiserver.kubeconfig import write_kubeconfig
from kproxy.bench.local.daemon_metrics import mean_sync
from kproxy.bench.local.load_programs import LoadError, bits_per_second
from kproxy.bench.remote.load import launch
from kproxy.bench.remote.node import KernelObjects, proxy_pid
from kproxy.bench.remote.proxy_pods import ProxyPods
from kproxy.bench.remote.witnesses import UnavailableError, Witness, Witnesses
from kproxy.bench.results.schema import Run
from kproxy.inspect.detection.detect import Detection
from kproxy.inspect.detection.footprints import Owner
from kproxy.inspect.detection.processes import ProxyProcess
from tests.bench import metrics_server


def _detection(*pids: int, mode: str | None = None) -> Detection:
    processes = tuple(ProxyProcess(pid, Owner.KUBE_PROXY, ("kube-proxy",)) for pid in pids)
    return Detection(mode, None, (), None, processes, (), (), ())


def _run() -> Run:
    return Run("cluster", "nftables", 5, 10)


class _Silent(Witness):
    subject = "silence"

    async def before(self) -> None:
        raise UnavailableError("says\nnothing")


class _Gone(Witness):
    subject = "a process"

    async def changed(self, changes: int) -> None:
        raise ProcessLookupError("it has ended")


class _Talking(Witness):
    async def finished(self) -> None:
        self._run.add("resident", [1.0])


async def test_one_without_anything_to_tell_is_left_out_with_the_reason() -> None:
    run = _run()
    witnesses = Witnesses(run, [_Silent(run), _Gone(run), _Talking(run)], lambda words: None)
    for call in (witnesses.before(), witnesses.created(), witnesses.changing(), witnesses.changed(1)):
        await call
    await witnesses.finished()
    assert run.problems == ["silence: says nothing", "a process: it has ended"]
    assert run.figures["resident"].samples == [1.0]


async def test_the_first_is_the_nearest_to_what_is_measured() -> None:
    calls: list[str] = []

    class Told(Witness):
        def __init__(self, name: str) -> None:
            super().__init__(run)
            self._name = name

        async def changing(self) -> None:
            calls.append(f"{self._name} begins")

        async def changed(self, changes: int) -> None:
            calls.append(f"{self._name} ends")

    run = _run()
    witnesses = Witnesses(run, [Told("inner"), Told("outer")], lambda words: None)
    await witnesses.changing()
    await witnesses.changed(1)
    assert calls == ["outer begins", "inner begins", "inner ends", "outer ends"]


def test_the_proxy_is_one_process_whatever_workers_it_has() -> None:
    assert proxy_pid(_detection(os.getppid(), os.getpid())) == os.getppid()
    with pytest.raises(UnavailableError, match="no proxy's process is seen"):
        proxy_pid(_detection())
    with pytest.raises(UnavailableError, match="several proxies run here: process 1 "):
        proxy_pid(_detection(1, os.getpid()))


@pytest.mark.root
async def test_kernel_objects_that_do_not_grow_are_no_figure() -> None:
    run = _run()
    witnesses = Witnesses(run, [KernelObjects(run, _detection(os.getpid(), mode="nftables"))], lambda words: None)
    await witnesses.before()
    await witnesses.created()
    assert run.figures == {}
    assert run.problems[0].startswith("kernel objects: this network namespace's did not grow")


@pytest.mark.root
@pytest.mark.parametrize(
    ("detection", "reason"),
    [(_detection(mode="nftables"), "neither a proxy's process nor its rules"), (_detection(1), "mode is not known")],
)
async def test_kernel_objects_are_not_counted_where_they_cannot_be_the_proxys(
    detection: Detection, reason: str
) -> None:
    run = _run()
    await Witnesses(run, [KernelObjects(run, detection)], lambda words: None).before()
    assert reason in run.problems[0]


@asynccontextmanager
async def _cluster(folder: Path, *objects: dict[str, object]) -> AsyncIterator[AsyncClient]:
    store = Store()
    for obj in objects:
        store.apply(obj)
    async with ApiServer(store) as server:
        write_kubeconfig(folder / "config", server.url)
        yield AsyncClient(config=KubeConfig.from_file(folder / "config").get(), trust_env=False)


@pytest.mark.parametrize("daemon_set", [(), (metrics_server.DAEMON_SET,)], ids=["no DaemonSet", "no metrics-server"])
async def test_pods_without_metrics_have_no_figures(tmp_path: Path, daemon_set: tuple[dict[str, object], ...]) -> None:
    run = _run()
    async with _cluster(tmp_path, *daemon_set) as client:
        await Witnesses(run, [ProxyPods(run, client, "kube-system/kube-proxy")], lambda words: None).before()
    assert run.figures == {}
    expected = "the API has no metrics.k8s.io" if daemon_set else "there is no DaemonSet kube-system/kube-proxy"
    assert run.problems[0].startswith(f"CPU and memory of the proxy's pods: {expected}")


async def test_an_api_that_is_gone_is_a_reason_too(tmp_path: Path) -> None:
    run = _run()
    async with _cluster(tmp_path) as client:
        pass
    await Witnesses(run, [ProxyPods(run, client, "kube-system/kube-proxy")], lambda words: None).before()
    assert "DaemonSet kube-system/kube-proxy: " in run.problems[0]


def test_a_sync_is_ipv4s_where_families_are_told_apart() -> None:
    name = "kubeproxy_sync_proxy_rules_duration_seconds"
    before = {f"{name}_sum{{ip_family=IPv4}}": 1.0, f"{name}_count{{ip_family=IPv4}}": 1.0}
    after = {f"{name}_sum{{ip_family=IPv4}}": 1.5, f"{name}_count{{ip_family=IPv4}}": 6.0}
    assert mean_sync(before, after) == pytest.approx(0.1)
    assert mean_sync({}, {f"{name}_sum": 3.0, f"{name}_count": 2.0}) == 1.5
    assert mean_sync(after, after) is None


@pytest.mark.skipif(shutil.which("iperf3") is None, reason="no iperf3: scripts/install-packages iperf3")
async def test_a_program_that_cannot_measure_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LoadError, match=r"iperf3's server does not listen: .*Address already in use"):
            await bits_per_second(launch, launch, ("127.0.0.1", port), ("127.0.0.1", port), 1)
    with pytest.raises(LoadError, match="iperf3: unable to connect to server"):
        await bits_per_second(launch, launch, ("127.0.0.1", 1), ("127.0.0.1", port), 1)


async def test_a_program_ends_with_its_block() -> None:
    async with launch(["sleep", "1000"]) as program:
        pass
    assert await program.wait() == -9
