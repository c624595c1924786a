"""Log lines as Kubernetes' components write them, so that tools which read a kube-proxy's log read ours.

The text format is klog's; the JSON format is component-base's: a line is an object with the milliseconds since the
epoch, the source, the message, and for what is no error its verbosity.
"""

import json
import logging
import threading
from datetime import datetime
from pathlib import Path

from kproxy.daemon.logs.redaction import redacted
from kproxy.daemon.logs.verbosity import verbosity_of

_LETTERS = {logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "F"}


class TextFormatter(logging.Formatter):
    """`Lmmdd hh:mm:ss.uuuuuu threadid file:line] message`."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created)  # noqa: DTZ006 - klog's lines are in local time
        letter = _LETTERS.get(record.levelno, "I")
        thread = threading.get_native_id()
        head = f"{letter}{when:%m%d %H:%M:%S.%f} {thread:>7} {record.filename}:{record.lineno}] "
        text = head + record.getMessage().replace("\n", "\\n")
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return redacted(text)


class JsonFormatter(logging.Formatter):
    """`{"ts":1763816759123.4567,"caller":"daemon/daemon.py:74","msg":"…","v":0}`; errors have `err`, and no `v`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": record.created * 1000,
            "caller": f"{Path(record.pathname).parent.name}/{record.filename}:{record.lineno}",
            "msg": redacted(record.getMessage()),
        }
        if record.levelno < logging.ERROR:
            line["v"] = verbosity_of(record.levelno)
        elif (error := _error(record)) is not None:
            line["err"] = redacted(str(error) or type(error).__name__)
        if record.exc_info:
            line["stacktrace"] = redacted(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def _error(record: logging.LogRecord) -> BaseException | None:
    """The exception that a record is about: what was raised, or else the last that its message names."""
    if record.exc_info and record.exc_info[1]:
        return record.exc_info[1]
    named = record.args if isinstance(record.args, tuple) else ()
    return next((value for value in reversed(named) if isinstance(value, BaseException)), None)
