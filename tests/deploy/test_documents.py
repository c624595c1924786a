"""The documents' code: YAML that loads, commands that exist with flags that they have, files that are there."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from kproxy.config import parse_command_line
from tests.deploy.rendering import CHECKOUT, Renderer

DOCUMENTS = ("install", "migration")
OTHERS = {"cp", "ctr", "curl", "install", "k3s", "kind", "kubeadm", "podman", "python3", "systemctl"}
"""What a reader runs beside kubectl, helm and what this project installs."""


def blocks(language: str) -> list[str]:
    """Code blocks of all documents, without the indent of those in lists."""
    found = []
    for name in DOCUMENTS:
        text = (CHECKOUT / "docs" / f"{name}.md").read_text(encoding="utf-8")
        for indent, block in re.findall(rf"^( *)```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
            found.append(re.sub(rf"^{indent}", "", block, flags=re.MULTILINE))
    return found


def commands() -> list[list[str]]:
    """The commands of the shell blocks, without redirections."""
    lines = []
    for block in blocks("sh"):
        lexer = shlex.shlex(block.replace("\\\n", " "), posix=True, punctuation_chars="\n>;&|")
        lexer.whitespace, lexer.whitespace_split = " \t", True
        words: list[str] = []
        for word in lexer:
            if set(word) <= set("\n>;&|"):
                lines.append(words)
                words = ["(file)"] if word == ">" else []
            else:
                words.append(word)
        lines.append(words)
    return [words for words in lines if words and words[0] != "(file)"]


@pytest.mark.parametrize("block", blocks("yaml"))
def test_yaml_says_what_it_is(block: str, tmp_path: Path) -> None:
    document = yaml.safe_load(block)
    if document.get("kind") == "KubeProxyConfiguration":
        path = tmp_path / "config.conf"
        path.write_text(block, encoding="utf-8")
        assert parse_command_line([f"--config={path}"]).configuration.mode == document["mode"]
    elif "kind" in document:
        assert "/" in document["apiVersion"]
    else:
        assert document == {"disable-kube-proxy": True}


def test_the_commands_are_known() -> None:
    own = {"kube-proxy", "kproxy"}
    for name in own:
        assert (CHECKOUT / ".venv" / "bin" / name).exists()
    found = {Path(words[0]).name for words in commands()}
    assert {"kubectl", "helm", "kubeadm", "kind", "k3s"} <= found
    assert found <= {"kubectl", "helm", "pip"} | own | OTHERS


@pytest.mark.parametrize("program", ["kubectl", "helm"])
def test_the_flags_are_those_of_the_program(program: str, render: Renderer) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(render.folder), "KUBERNETES_MASTER": "http://127.0.0.1:1"}
    tried = [words for words in commands() if words[0] == program]
    for words in [*tried, [program, "version", "--no-such-flag"]]:
        done = subprocess.run(
            [str(render.folder / program), *words[1:]],
            capture_output=True,
            text=True,
            check=False,
            cwd=CHECKOUT,
            env=environment,
        )
        assert ("unknown" in done.stderr) == ("--no-such-flag" in words), f"{words}: {done.stderr}"
    assert len(tried) > 0


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_linked_and_named_is_there(name: str) -> None:
    text = (CHECKOUT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", text)]
    assert links
    for link in filter(None, links):
        assert (CHECKOUT / "docs" / link).exists(), link
    made = {"deploy/kustomize/cluster", "deploy/kustomize/cluster/config.conf"}
    for path in set(re.findall(r"\b(?:deploy|tests)/[\w./-]*\w", text)) - made:
        assert (CHECKOUT / path).exists(), path
