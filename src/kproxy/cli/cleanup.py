"""`kproxy cleanup`: take everything back."""

import typer


def cleanup() -> None:
    """Remove everything that kproxy or a kube-proxy in nftables mode has programmed on this node.

    [bold]Example[/bold]

      kproxy cleanup
    """
    from kproxy.cli.kube_proxy import run

    raise typer.Exit(run(["--cleanup"]))
