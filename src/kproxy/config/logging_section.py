"""The `logging` part of a `KubeProxyConfiguration`: component-base's `LoggingConfiguration`."""

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, field

from kproxy.config.duration import FlushInterval
from kproxy.config.sections import Count, Section

LogFormat: TypeAlias = Literal["text", "json"]


class OutputRouting(Section, frozen=True):
    """Where messages of one format go."""

    split_stream: Annotated[
        bool,
        Meta(description="Errors to stderr, all else to stdout. Needs the feature gate LoggingAlphaOptions."),
    ] = False
    info_buffer_size: Annotated[
        str,
        Meta(
            description="With splitStream: bytes of info messages to hold back, such as 64Ki; 0 writes at once. "
            "Needs the feature gate LoggingAlphaOptions."
        ),
    ] = "0"


class FormatOptions(Section, frozen=True):
    """Options by log format; only those of the chosen format are used."""

    text: Annotated[OutputRouting, Meta(description="Options of the text format.")] = field(
        default_factory=OutputRouting
    )
    json: Annotated[OutputRouting, Meta(description="Options of the JSON format.")] = field(
        default_factory=OutputRouting
    )


class VModule(Section, frozen=True):
    """A verbosity for some source files."""

    file_pattern: Annotated[
        str, Meta(description="Name of a source file without its suffix; may hold the wildcards * and ?.")
    ] = ""
    verbosity: Annotated[Count, Meta(description="The verbosity for these files.")] = 0


class Logging(Section, frozen=True):
    """How much is logged, and in which form."""

    format: Annotated[LogFormat, Meta(description="text (klog's lines) or json (an object a line).")] = "text"
    flush_frequency: Annotated[
        FlushInterval,
        Meta(description="The longest that a buffered message waits. A number is nanoseconds. 0 means 5s."),
    ] = FlushInterval(5_000_000_000)
    verbosity: Annotated[Count, Meta(description="Messages up to this level are logged; errors always are.")] = 0
    vmodule: Annotated[
        tuple[VModule, ...], Meta(description="Verbosity for single source files; text format only.")
    ] = ()
    options: Annotated[FormatOptions, Meta(description="Options by log format.")] = field(default_factory=FormatOptions)
