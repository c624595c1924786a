"""Which mode a command is about, and how the proxy of this node is set up in it."""

import asyncio
from typing import NamedTuple, get_args

import msgspec

from kproxy.config import ProxyMode
from kproxy.inspect.desired import NodeSettings, Where
from kproxy.inspect.detection.detect import Detection, detect
from kproxy.inspect.detection.settings import find_settings
from kproxy.inspect.output import InspectionError


class NodeMode(NamedTuple):
    """What was found."""

    mode: str
    settings: NodeSettings
    """Set to the mode."""
    detection: Detection | None
    """None when it was not needed."""
    notes: tuple[str, ...]
    """What a person should know about the settings."""


def find_mode(where: Where, wanted: str = "", *, detecting: bool = False) -> NodeMode:
    """Find the mode: the wanted one, else that of the configuration, else what the kernel shows.

    Args:
        where: the configuration is read from
        wanted: by the person; empty: not said
        detecting: look into the kernel in any case

    Raises:
        InspectionError: no such mode; or the configuration that was named cannot be read
    """
    if wanted and wanted not in get_args(ProxyMode):
        raise InspectionError(f"--mode {wanted}: must be one of {', '.join(get_args(ProxyMode))}")
    found = find_settings(where)
    settings = found.settings
    known = settings.running or where.config is not None
    detection = asyncio.run(detect(where.metrics)) if detecting or not (wanted or known) else None
    mode = wanted or (settings.configuration.mode if known else "")
    mode = mode or (detection.mode if detection else None) or settings.configuration.mode
    notes = [found.problem] if found.problem else []
    if not known:
        notes.append(f"configuration: {settings.origin}; give --config FILE if it is set up otherwise")
    if mode != settings.configuration.mode:
        configuration = msgspec.structs.replace(settings.configuration, mode=msgspec.convert(mode, ProxyMode))
        settings = msgspec.structs.replace(settings, configuration=configuration)
    return NodeMode(mode, settings, detection, tuple(notes))
