"""Log lines as klog writes them, so that tools which read a kube-proxy's log read ours."""

import logging
import sys
from datetime import datetime

from kproxy.config.logging_section import Logging

_LETTERS = {logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


class KlogFormatter(logging.Formatter):
    """`Lmmdd hh:mm:ss.uuuuuu threadid file:line] message`."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created)  # noqa: DTZ006 - klog's lines are in local time
        letter = _LETTERS.get(record.levelno, "I")
        head = f"{letter}{when:%m%d %H:%M:%S.%f} {record.process:>7} {record.filename}:{record.lineno}] "
        message = head + record.getMessage().replace("\n", "\\n")
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        return message


def configure_logging(options: Logging) -> None:
    """Log to standard error. Verbosity 4 and up shows every sync."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(KlogFormatter())
    logging.basicConfig(level=logging.DEBUG if options.verbosity >= 4 else logging.INFO, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
