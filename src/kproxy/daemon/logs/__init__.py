"""Logging as component-base configures it: klog's text or JSON, verbosities, and what keeps a log readable."""

import logging
import sys

from kproxy.config.logging_section import Logging
from kproxy.daemon.logs.formats import JsonFormatter, TextFormatter
from kproxy.daemon.logs.repetition import Repetitions
from kproxy.daemon.logs.streams import SplitHandler, split_handler
from kproxy.daemon.logs.verbosity import Verbosity


class _OnceHandler(logging.Handler):
    """Passes records to another handler, repeated errors as a count."""

    def __init__(self, target: logging.Handler) -> None:
        super().__init__()
        self._target = target
        self._repetitions = Repetitions(target.emit)

    def emit(self, record: logging.LogRecord) -> None:
        self._repetitions.handle(record)

    def flush(self) -> None:
        self._target.flush()

    def close(self) -> None:
        self._repetitions.flush()
        self._target.close()
        super().close()


def configure_logging(options: Logging) -> Verbosity:
    """Log as configured, to standard error unless the streams are split.

    Returns:
        What decides how much is logged, which may be changed later.
    """
    routing = options.options.json if options.format == "json" else options.options.text
    target: logging.Handler
    if routing.split_stream:
        target = split_handler(routing.info_buffer_size, options.flush_frequency.seconds)
    else:
        target = SplitHandler(sys.stderr, sys.stderr)
    target.setFormatter(JsonFormatter() if options.format == "json" else TextFormatter())
    handler = _OnceHandler(target)
    verbosity = Verbosity(options.verbosity, options.vmodule)
    handler.addFilter(verbosity)
    logging.basicConfig(handlers=[handler], force=True, level=logging.getLogger().level)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    return verbosity


__all__ = ["Verbosity", "configure_logging"]
