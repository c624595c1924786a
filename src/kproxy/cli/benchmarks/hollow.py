"""`kproxy bench hollow`: many proxies against one API server."""

from pathlib import Path
from typing import Annotated

import typer

from kproxy.cli.benchmarks.options import INTERRUPTED


def hollow(
    proxies: Annotated[int, typer.Option(min=1, max=5000, help="How many.")] = 200,
    services: Annotated[int, typer.Option(min=1, help="Services in the API.")] = 1000,
    endpoints: Annotated[int, typer.Option(min=1, max=1000, help="Endpoints of each.")] = 10,
    rate: Annotated[float, typer.Option(min=0.1, help="Endpoint changes per second.")] = 10.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long to change.")] = 10.0,
    out: Annotated[Path, typer.Option("--out", help="A JSON file for `kproxy bench model`.")] = Path(
        "bench-results/hollow.json"
    ),
) -> None:
    """Run many proxies without a kernel in one process against one API server, to measure the API side.

    [bold]Examples[/bold]

      kproxy bench hollow                            # 200 proxies, half a minute

      kproxy bench hollow --proxies 500 --services 5000 --rate 50
    """
    import asyncio

    import msgspec

    from kproxy.bench.cluster import Size
    from kproxy.bench.model.hollow import measure
    from kproxy.bench.model.hollow_report import lines

    size = Size(services, endpoints)
    try:
        found = asyncio.run(measure(proxies, size, rate, seconds, lambda words: typer.echo(words, err=True)))
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    except TimeoutError:
        typer.echo("proxies did not get everything in time: try fewer, or a lower rate", err=True)
        raise typer.Exit(1) from None
    except OSError as error:
        typer.echo(f"kproxy bench hollow: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    for line in lines(found):
        typer.echo(line)
    typer.echo(f"wrote {out}")
