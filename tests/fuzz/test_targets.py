"""The fuzzing targets with random damage to their seeds; `tests/fuzz/run` does this at length, and guided."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

_EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 40), st.integers(0, 1 << 16), st.binary(max_size=4)), max_size=6
)


def _damaged(seed: bytes, words: tuple[str, ...], edits: list[tuple[float, int, int, bytes]]) -> bytes:
    """Take bytes out, and put words, other bytes, or a piece of the same seed in."""
    for place, removed, chosen, other in edits:
        at = int(place * len(seed))
        added = (words[chosen % len(words)].encode(), other, seed[chosen % (len(seed) + 1) :][:30])[chosen % 3]
        seed = seed[:at] + added + seed[at + removed :]
    return seed


_NOT_ASCII = b'{"server":"h","certificate-authority-data":"\xc3\xbc"}'
_CONTEXT = b'"current-context":"m","contexts":[{"name":"m","context":{"cluster":"c"}}]'


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    for seed in TARGETS[name].seeds():
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=300)
@given(number=st.integers(0, 100), edits=_EDITS)
def test_damaged_seeds(name: str, number: int, edits: list[tuple[float, int, int, bytes]]) -> None:
    target = TARGETS[name]
    seeds = target.seeds()
    target.run(_damaged(seeds[number % len(seeds)], target.words, edits))


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100)
@given(data=st.binary(max_size=200))
def test_any_bytes(name: str, data: bytes) -> None:
    TARGETS[name].run(data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("kubeconfig", b'{"clusters":[{"name":"c","cluster":{"server":" HTTPS://h"}}],%s}' % _CONTEXT),
        ("kubeconfig", b'{"current-context":"m\\n\\nm"}'),
        ("kubeconfig", b'{"clusters":[{"name":"c","cluster":%s}],%s}' % (_NOT_ASCII, _CONTEXT)),
        ("kubeconfig", b"current-context: !!float"),
        ("kubeconfig", b"current-context: !!timestamp x"),
        ("kubeconfig", b"users: [{name: u, user: {token: !!int correct-horse-battery-staple}}]"),
    ],
)
def test_what_was_found_stays_mended(name: str, data: bytes) -> None:
    TARGETS[name].run(data)


def test_fuzzer_says_how_it_is_called() -> None:
    shown = subprocess.run([Path(__file__).parent / "run"], capture_output=True, text=True, check=False, env=os.environ)
    assert shown.returncode == 2
    assert "tests/fuzz/run config --runs 100000" in shown.stderr
