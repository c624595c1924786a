"""`kproxy config`: what a configuration file says, and what comes of it."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from kproxy.config import ConfigError, Loaded, Problem
    from kproxy.config.explanation import Explanation

app = typer.Typer(
    help="Check, explain and show KubeProxyConfiguration files.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Mode(StrEnum):
    """A proxy mode."""

    iptables = "iptables"
    ipvs = "ipvs"
    nftables = "nftables"
    userspace = "userspace"


class Output(StrEnum):
    """A form for programs."""

    json = "json"
    yaml = "yaml"


_Mode = Annotated[Mode | None, typer.Option(help="Judge the file as if it chose this mode.", show_default=False)]
_File = Annotated[Path, typer.Argument(help="A YAML or JSON file; - reads standard input.", show_default=False)]


@app.command()
def check(
    file: _File,
    mode: _Mode = None,
    output: Annotated[Output | None, typer.Option("-o", "--output", help="For programs.", show_default=False)] = None,
    written: Annotated[bool, typer.Option("--written", help="Leave out the fields that have their default.")] = False,
) -> None:
    r"""Explain each field: its value, where it came from, and what it does in the chosen mode.

    Exits with 1 when the file cannot be used; every mistake is named with its line.

    [bold]Examples[/bold]

      kproxy config check /var/lib/kube-proxy/config.conf

      kproxy config check config.conf --mode nftables      # before switching the mode

      kubectl -n kube-system get configmap kube-proxy -o jsonpath='{.data.config\.conf}' | kproxy config check -
    """
    from kproxy.config import ConfigError
    from kproxy.config.explanation import explain

    try:
        loaded = _load(file, mode)
    except ConfigError as error:
        _refuse(error, output)
        raise typer.Exit(1) from None
    fields = [field for field in explain(loaded) if field.origin or not written]
    if output is not None:
        _print_tree(_as_tree(loaded, fields), output)
    else:
        _print_table(file, loaded, fields)


@app.command()
def show(
    file: Annotated[Path | None, typer.Argument(help="A file; without one, the defaults.", show_default=False)] = None,
    mode: _Mode = None,
    output: Annotated[Output, typer.Option("-o", "--output", help="The form.")] = Output.yaml,
) -> None:
    """Print the configuration in effect: the file with everything else filled in, as a file that can be used.

    [bold]Examples[/bold]

      kproxy config show                                   # all fields with their defaults

      kproxy config show config.conf --mode nftables -o json
    """
    from kproxy.config import ConfigError
    from kproxy.config.dump import to_tree, to_yaml

    try:
        configuration = _load(file, mode).configuration
    except ConfigError as error:
        _refuse(error, None)
        raise typer.Exit(1) from None
    if output is Output.yaml:
        typer.echo(to_yaml(configuration), nl=False)
    else:
        _print_tree(to_tree(configuration), output)


@app.command()
def reference() -> None:
    """Print a table of all fields in Markdown: what each takes, its default, its flag, and what it does.

    [bold]Examples[/bold]

      kproxy config reference | grep -i udp
    """
    from kproxy.config.reference import reference as markdown

    typer.echo(markdown(), nl=False)


def _load(file: Path | None, mode: Mode | None) -> "Loaded":
    from kproxy.config.decoding import Document, read_document
    from kproxy.config.loading import finish, read_file
    from kproxy.config.problems import Origin
    from kproxy.config.yaml_source import MAX_BYTES

    if file is None:
        document = Document("defaults")
    elif str(file) == "-":
        document = read_document(sys.stdin.buffer.read(MAX_BYTES + 1), "standard input")
    else:
        document = read_file(file)
    if mode is not None:
        document.put("mode", mode.value, Origin("--mode"))
    return finish(document)


def _refuse(error: "ConfigError", output: Output | None) -> None:
    if output is not None:
        failed = {
            "valid": False,
            "errors": [_problem(p) for p in error.problems],
            "warnings": [_problem(p) for p in error.warnings],
        }
        _print_tree(failed, output)
        return
    for warning in error.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(str(error), err=True)


def _as_tree(loaded: "Loaded", fields: "list[Explanation]") -> dict[str, Any]:
    return {
        "valid": True,
        "mode": loaded.configuration.mode,
        "warnings": [_problem(warning) for warning in loaded.warnings],
        "fields": [
            {
                "field": field.path,
                "value": field.value,
                "origin": str(field.origin or "default"),
                "hasEffect": field.has_effect,
                "effect": field.effect,
            }
            for field in fields
        ],
    }


def _problem(problem: "Problem") -> dict[str, Any]:
    origin = problem.origin
    return {
        "field": problem.path,
        "message": problem.message,
        "source": origin.source if origin else "",
        "line": origin.line if origin else 0,
        "column": origin.column if origin else 0,
    }


def _print_tree(tree: dict[str, Any], output: Output) -> None:
    if output is Output.json:
        import json

        typer.echo(json.dumps(tree, indent=2, ensure_ascii=False))
    else:
        import yaml

        typer.echo(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1 << 20), nl=False)


def _print_table(file: Path, loaded: "Loaded", fields: "list[Explanation]") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 160)
    table = Table(box=None, pad_edge=False)
    for heading, share in (("FIELD", 2), ("VALUE", 1), ("FROM", 1), ("WHAT IT DOES", 4)):
        table.add_column(heading, ratio=share, overflow="fold")
    for field in fields:
        origin = str(field.origin or "default").rpartition("/")[2]
        style = "dim" if not field.has_effect else "bold" if field.origin else ""
        cells = (field.path, _in_short(field.value), origin, field.effect)
        table.add_row(*(escape(cell) for cell in cells), style=style)
    with console.capture() as printed:
        console.print(table)
    # Without the blanks that make every line as long as the longest.
    typer.echo("\n".join(line.rstrip() for line in printed.get().splitlines()))
    idle = sum(1 for field in fields if field.origin and not field.has_effect)
    console.print()
    for warning in loaded.warnings:
        console.print(f"[yellow]warning:[/yellow] {escape(str(warning))}")
    name = "standard input" if str(file) == "-" else str(file)
    note = f", {idle} of its fields without effect" if idle else ""
    console.print(f"{escape(name)} can be used: mode {loaded.configuration.mode}{note}")


def _in_short(value: object) -> str:
    import json

    if value is None:
        return "null"
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
