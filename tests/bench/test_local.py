"""A local run: real proxies, real traffic, and what is left when it is interrupted."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kproxy.apiserver import Store
from kproxy.bench import api
from kproxy.bench.cluster import Size
from kproxy.bench.local import suite
from kproxy.bench.local.contenders import Contender, Mode, ours
from kproxy.bench.local.effort import Effort
from kproxy.bench.local.measurement import MeasurementError, extra_services, measure
from kproxy.bench.local.usage import Usage
from kproxy.bench.results.schema import Run, read

SIZE = Size(20, 2)
BRIEF = Effort(1, 3, 5.0, 20, 5.0, 0, 0.1, 50.0, 3)
BENCH = [sys.executable, "-c", "from kproxy.cli.bench import app; app()"]


@pytest.fixture
def store() -> Store:
    store = Store()
    api.fill(store, SIZE)
    extra_services(store, SIZE)
    return store


@pytest.mark.root
async def test_a_round_measures_everything(store: Store) -> None:
    run = Run("kproxy", "nftables", *SIZE[:2])
    await measure(ours(), Mode.NFTABLES, SIZE, store, BRIEF, run, lambda words: None)
    samples = {name: figure.samples for name, figure in run.figures.items()}
    assert run.problems == []
    assert len(samples["update_connection"]) == len(samples["update_kernel"]) == 3
    assert all(
        seen >= committed > 0
        for seen, committed in zip(samples["update_connection"], samples["update_kernel"], strict=True)
    )
    assert len(samples["connect_first"]) == len(samples["connect_direct"]) == 20
    assert samples["kernel_objects"][0] > SIZE.total
    assert 0 < samples["cpu_change"][0] < samples["cpu_start"][0] < samples["start_to_synced"][0] * 2
    assert samples["resident"][0] > 20e6
    assert any(name.startswith("kubeproxy_sync_proxy_rules_duration_seconds") for name in run.metrics)


@pytest.mark.root
async def test_a_contender_that_does_nothing_is_an_error_and_not_a_figure(store: Store) -> None:
    run = Run("idle", "nftables", *SIZE[:2])
    idle = Contender("idle", ("sh", "-c", "echo I do nothing; sleep 60"))
    with pytest.raises(MeasurementError, match="I do nothing"):
        await measure(idle, Mode.NFTABLES, SIZE, store, BRIEF._replace(patience=1.0), run, lambda words: None)
    assert run.figures == {}


@pytest.mark.root
def test_interrupting_keeps_what_was_measured(tmp_path: Path) -> None:
    argv = [*BENCH, "local", "--quick", "--modes", "nftables", "--services", "5", "--rounds", "50"]
    with subprocess.Popen([*argv, "--out", str(tmp_path / "r")], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "round 2" in line:
                break
        process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert process.returncode == 130
    result = read(tmp_path / "r.json")
    assert result.interrupted
    assert len(result.runs[0].figures["start_to_synced"].samples) >= 1
    assert result.noise is not None
    assert "Interrupted" in (tmp_path / "r.md").read_text()


def test_contenders_take_turns_at_being_first() -> None:
    rivals = [Contender("a", ("a",)), Contender("b", ("b",))]
    plan = suite.Plan([Mode.NFTABLES, Mode.USERSPACE], [SIZE], rivals, BRIEF, {Mode.USERSPACE: 1})
    orders = [[contender.name for _, contender in plan.turns(SIZE, number)] for number in range(3)]
    assert orders == [["a", "b"], ["b", "a"], ["a", "b"]]  # and userspace mode not at this size
    assert plan.left_out() == ["mode userspace is measured up to 1 Services only"]


async def test_usage_has_the_programs_that_a_process_ran() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    parent = f"import subprocess, sys, time; subprocess.run([sys.executable, '-c', {burn!r}]); print(flush=True)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", parent + "; sys.stdin.read()", stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        assert Usage.of(process.pid).cpu >= 0.2
    finally:
        process.kill()
        await process.wait()


def test_a_mode_that_there_is_not_is_refused() -> None:
    ended = subprocess.run([*BENCH, "local", "--modes", "nonsense"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "nftables" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.root
async def test_a_contender_that_ends_is_not_waited_for(store: Store) -> None:
    run = Run("broken", "nftables", *SIZE[:2])
    broken = Contender("broken", ("sh", "-c", "echo broken; exit 3"))
    with pytest.raises(MeasurementError, match="ended with 3: broken"):
        await measure(broken, Mode.NFTABLES, SIZE, store, BRIEF._replace(patience=60.0), run, lambda words: None)
