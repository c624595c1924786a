"""Options that the operators' commands share, and how they fail."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from kproxy.inspect.output import ExitStatus, Format, InspectionError, complain

Manifests: TypeAlias = Annotated[
    Path | None, typer.Option(help="Read Services and EndpointSlices from the YAML files in this folder.")
]
Kubeconfig: TypeAlias = Annotated[
    Path | None, typer.Option(help="How to reach the API server.  [default: as the proxy does]")
]
ConfigurationFile: TypeAlias = Annotated[
    Path | None, typer.Option(help="The proxy's configuration file.  [default: ask the running proxy]")
]
Metrics: TypeAlias = Annotated[str, typer.Option(help="Where the running proxy serves /metrics and /configz.")]
DEFAULT_METRICS = "127.0.0.1:10249"
NodeName: TypeAlias = Annotated[str, typer.Option(help="This node's name.  [default: as configured, else the host's]")]
ClusterCIDR: TypeAlias = Annotated[str, typer.Option(help="The pods' networks, one for each IP family.")]
Output: TypeAlias = Annotated[Format, typer.Option("-o", "--output", help="How to print.")]


@contextmanager
def one_line(command: str) -> Iterator[None]:
    """End a command that cannot do its work with one line and status 2: whoever is on call reads no tracebacks."""
    try:
        yield
    except InspectionError as error:
        complain(f"kproxy {command}: {error}")
        raise typer.Exit(ExitStatus.FAILED) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        complain(f"kproxy {command}: unexpected {type(error).__name__}: {error}")
        raise typer.Exit(ExitStatus.FAILED) from error
