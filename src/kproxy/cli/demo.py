"""`kproxy demo`: see it work."""

from typing import Annotated

import typer


def demo(
    proxy: Annotated[
        str, typer.Option(help="The proxy to show: a command that takes --config FILE.  [default: ours]")
    ] = "",
) -> None:
    """Build a node with pods, a second node and an outside client, and send traffic while Services change.

    [bold]Example[/bold]

      kproxy demo
    """
    from kproxy.lab.demo import main

    raise typer.Exit(main(["--proxy", proxy] if proxy else []))
