"""The commands in blocks of shell code, and whether a program takes them."""

import re
import shlex
from pathlib import Path

import typer
import typer.main
from typer.core import TyperGroup
from typer.exceptions import TyperException

from kproxy.cli.main import app
from kproxy.config import ConfigError, parse_command_line
from tests.docs.pages import Block, prose

SHELL = {"sh", "bash", "shell"}
PROMPTED = {"", "console", "text"}
"""Blocks of these languages show what a terminal did: commands stand behind a prompt."""

_SEPARATORS = set("\n;&|()")
_PROGRAMS = {"kproxy", "kube-proxy"}


def commands(block: Block) -> list[list[str]]:
    """The words of each run of kproxy or kube-proxy in a block; of other programs nothing."""
    if block.language in SHELL:
        script = block.text
    elif block.language in PROMPTED:
        lines = (line for line in block.text.splitlines() if line.startswith(("$ ", "# ")))
        script = "\n".join(line[2:] for line in lines)
    else:
        return []
    return [words for words in _words(script) if words and words[0] in _PROGRAMS]


def mentioned(page: Path) -> list[tuple[int, list[str]]]:
    """The commands that a page's sentences and tables mention, with their lines."""
    return [
        (number, words)
        for number, line in prose(page)
        for span in re.findall(r"`((?:kproxy|kube-proxy) [^`]+)`", line)
        for words in _words(span.replace("[", " ").replace("]", " "))
        if words and words[0] in _PROGRAMS
    ]


def _words(script: str) -> list[list[str]]:
    lines = _without_here_documents(script.replace("\\\n", " "))
    # shlex would take the end of the line for a part of a comment.
    uncommented = "\n".join(re.sub(r"(^|\s)#.*", "", line) for line in lines)
    lexer = shlex.shlex(uncommented, posix=True, punctuation_chars="\n();<>|&")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    found: list[list[str]] = [[]]
    file_follows = False
    for word in lexer:
        if word and set(word) <= _SEPARATORS:
            found.append([])
        elif word and set(word) <= set("<>&"):
            file_follows = True
        elif file_follows:
            file_follows = False
        elif found[-1] or word not in {"sudo", "time", "exec", "!"}:
            found[-1].append(word if found[-1] else word.rsplit("/", 1)[-1])
    return found


def _without_here_documents(script: str) -> list[str]:
    """The lines of a script that are commands."""
    kept: list[str] = []
    end = ""
    for line in script.splitlines():
        if end:
            end = "" if line.strip() == end else end
            continue
        kept.append(line)
        if "<<" in line:
            end = line.split("<<", 1)[1].split()[0].strip("-'\"")
    return kept


def problem(words: list[str]) -> str:
    """Why a program would not take these words; empty when it would."""
    try:
        if words[0] == "kube-proxy":
            parse_command_line(_without_file(words[1:]))
        else:
            _parse(words[1:])
    except ConfigError as error:
        return str(error)
    except TyperException as error:
        reason = str(error) or type(error).__name__
        return "" if "does not exist" in reason else reason  # the reader's files
    except typer.Exit:
        pass  # --help, --version
    return ""


def _parse(words: list[str]) -> None:
    command = typer.main.get_command(app)
    while isinstance(command, TyperGroup) and words and not words[0].startswith("-"):
        name, *words = words
        if name not in command.commands:
            raise TyperException(f"no such command: {name}")
        command = command.commands[name]
    if words or not isinstance(command, TyperGroup):  # without a command, a group prints its help
        command.make_context(command.name, words)


def _without_file(words: list[str]) -> list[str]:
    """Without `--config`: the file is the reader's."""
    if "--config" in words:
        position = words.index("--config")
        return words[:position] + words[position + 2 :]
    return [word for word in words if not word.startswith("--config=")]
