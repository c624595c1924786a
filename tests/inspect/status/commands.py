"""How tests run an operator's command as a process of its own."""

import importlib
import sys

import typer
from typer.testing import CliRunner

_RUN = """
import importlib, sys, typer
app = typer.Typer(pretty_exceptions_enable=False)
app.callback()(lambda: None)
app.command(sys.argv[1])(getattr(importlib.import_module(f"kproxy.cli.{sys.argv[1]}"), sys.argv[1]))
app()
"""


def command(name: str, *arguments: str) -> list[str]:
    """The argument list that runs `kproxy NAME ARGUMENTS`."""
    return [sys.executable, "-c", _RUN, name, *arguments]


def invoke(name: str, *arguments: str) -> tuple[int, str]:
    """Run a command in the test's own process; returns its exit status and what it printed."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(lambda: None)
    app.command(name)(getattr(importlib.import_module(f"kproxy.cli.{name}"), name))
    result = CliRunner().invoke(app, [name, *arguments])
    return result.exit_code, result.output
