"""`kproxy bench profile`: where the time of a start goes."""

from typing import Annotated

import typer


def profile(
    services: Annotated[int, typer.Option(min=1, help="Services.")] = 10_000,
    endpoints: Annotated[int, typer.Option(min=1, max=1000, help="Endpoints of each.")] = 10,
) -> None:
    """Show where the time of a start goes, phase by phase, in nftables mode. Needs root.

    [bold]Examples[/bold]

      kproxy bench profile

      kproxy bench profile --services 1000 --endpoints 100
    """
    from rich.console import Console
    from rich.table import Table

    from kproxy.bench.cluster import Size
    from kproxy.bench.phases import measure

    try:
        phases = measure(Size(services, endpoints))
    except OSError as error:
        typer.echo(f"kproxy bench profile: {error}", err=True)
        raise typer.Exit(2) from None
    shown = Table("phase", "seconds", "of CPU", title=f"{Size(services, endpoints)}")
    for phase in phases:
        shown.add_row(phase.name, f"{phase.clock:.3f}", f"{phase.cpu:.3f}")
    Console(highlight=False).print(shown)
