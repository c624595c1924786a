"""Blocks of code are what they claim to be."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kproxy.config import load_bytes
from tests.docs.command_lines import commands, mentioned, problem
from tests.docs.pages import CHECKOUT, DOCS, Block, all_pages, blocks

ALL = [block for page in all_pages() for block in blocks(page)]


def _of(*languages: str) -> list[Block]:
    return [block for block in ALL if block.language in languages]


@pytest.mark.parametrize("block", _of("yaml"), ids=str)
def test_yaml_parses_and_configurations_load(block: Block) -> None:
    for document in yaml.safe_load_all(block.text):
        assert document is not None
        if isinstance(document, dict) and document.get("kind") == "KubeProxyConfiguration":
            load_bytes(yaml.safe_dump(document).encode(), str(block))


def test_json_parses() -> None:
    for block in _of("json"):
        json.loads(block.text)


def test_python_compiles() -> None:
    for block in _of("python"):
        compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [block for block in ALL if commands(block)], ids=str)
def test_commands_are_taken(block: Block) -> None:
    refused = [f"{' '.join(words)}: {reason}" for words in commands(block) if (reason := problem(words))]
    assert not refused, "\n".join(refused)


@pytest.mark.parametrize("page", all_pages(), ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_commands_that_sentences_mention_exist(page: Path) -> None:
    """A sentence may leave out arguments, but not make up options."""
    refused = [
        f"line {line}: {' '.join(words)}: {reason}"
        for line, words in mentioned(page)
        if (reason := problem(words)) and not re.search("[Mm]issing|requires an argument", reason)
    ]
    assert not refused, "\n".join(refused)


def test_refusals_are_noticed() -> None:
    assert problem(["kproxy", "status", "--colour"])
    assert problem(["kproxy", "statsu"])
    assert problem(["kube-proxy", "--proxy-mode=ebpf"])
    assert not problem(["kube-proxy", "--proxy-mode=ipvs", "--cleanup"])


def test_the_first_example_prints_what_it_says(tmp_path: Path) -> None:
    script, printed, *_ = blocks(DOCS / "index.md")
    running = subprocess.run(
        ["bash", "-euc", script.text],
        cwd=tmp_path,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    rules = running.stdout.splitlines()
    assert printed.text.splitlines() == [rule for rule in rules if rule in printed.text.splitlines()]
