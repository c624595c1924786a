"""What the log looks like, and what never gets into it."""

import json
import logging
import re
import threading
from collections.abc import Iterator

import pytest

from kproxy.config.duration import FlushInterval
from kproxy.config.logging_section import FormatOptions, LogFormat, Logging, OutputRouting, VModule
from kproxy.daemon.logs import configure_logging

log = logging.getLogger("kproxy.daemon.test_logs")


@pytest.fixture(autouse=True)
def as_it_was(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Restores logging before the streams that it writes to are gone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


Capture = pytest.CaptureFixture[str]


def lines(capsys: Capture) -> list[str]:
    return capsys.readouterr().err.splitlines()


def objects(capsys: Capture) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines(capsys)]


def test_klogs_lines(capsys: Capture) -> None:
    configure_logging(Logging())
    log.info("%d Services", 3)
    log.warning("careful")
    log.error("one\ntwo")
    log.critical("over")
    thread = f"{threading.get_native_id():>7}"
    expected = [("I", "3 Services"), ("W", "careful"), ("E", r"one\ntwo"), ("F", "over")]
    for line, (letter, message) in zip(lines(capsys), expected, strict=True):
        head = rf"{letter}[01]\d[0-3]\d [0-2]\d:[0-5]\d:[0-6]\d\.\d{{6}} {thread} test_logs\.py:\d+\] "
        assert re.fullmatch(head + re.escape(message), line), line


def test_an_exception_has_its_traceback(capsys: Capture) -> None:
    configure_logging(Logging())
    try:
        raise ValueError("bad")
    except ValueError:
        log.exception("no sync")
    first, *rest = lines(capsys)
    assert first.endswith("] no sync")
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "ValueError: bad"


def test_json_lines(capsys: Capture) -> None:
    configure_logging(Logging(format="json", verbosity=4))
    log.info("%d Services", 3)
    log.debug("more")
    log.warning("ünïcode\nand lines")
    log.error("on %s: %s", "port", OSError("busy"))
    log.error("nothing raised")
    info, debug, warning, error, plain = objects(capsys)
    assert list(info) == ["ts", "caller", "msg", "v"]
    assert isinstance(info["ts"], float)
    assert 1.7e12 < info["ts"] < 4e12
    assert re.fullmatch(r"daemon/test_logs\.py:\d+", str(info["caller"]))
    assert (info["msg"], info["v"]) == ("3 Services", 0)
    assert (debug["msg"], debug["v"]) == ("more", 4)
    assert (warning["msg"], warning["v"]) == ("ünïcode\nand lines", 0)
    assert (error["msg"], error["err"]) == ("on port: busy", "busy")
    assert "v" not in error
    assert list(plain) == ["ts", "caller", "msg"]


def test_a_json_line_of_an_exception(capsys: Capture) -> None:
    configure_logging(Logging(format="json"))
    try:
        raise ValueError("token=abcdef")
    except ValueError:
        log.exception("no sync")
    (line,) = objects(capsys)
    assert line["err"] == "token=[redacted]"
    assert "Traceback" in str(line["stacktrace"])
    assert "abcdef" not in str(line)


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [(0, [20]), (1, [20, 19]), (3, [20, 19, 18, 17]), (4, [20, 19, 18, 17, 10]), (5, [20, 19, 18, 17, 10, 9])],
)
def test_verbosity(capsys: Capture, verbosity: int, shown: list[int]) -> None:
    configure_logging(Logging(verbosity=verbosity))
    assert log.isEnabledFor(shown[-1])
    for level in (20, 19, 18, 17, 10, 9, 1):
        log.log(level, "level %d", level)
    assert [int(line.rsplit(" ", 1)[1]) for line in lines(capsys)] == shown


def test_verbosity_can_be_changed(capsys: Capture) -> None:
    verbosity = configure_logging(Logging())
    log.debug("before")
    verbosity.set(4)
    log.debug("while")
    verbosity.set(0)
    log.debug("after")
    assert [line.rsplit(" ", 1)[1] for line in lines(capsys)] == ["while"]


@pytest.mark.parametrize(
    ("modules", "shown"),
    [
        ((VModule("test_logs", 4),), True),
        ((VModule("test_*", 4),), True),
        ((VModule("test_log?", 9),), True),
        ((VModule("test_logs", 3),), False),
        ((VModule("reflector", 9),), False),
        ((VModule("Test_logs", 9),), False),
        ((VModule("test_*", 0), VModule("test_logs", 9)), False),  # the first that fits counts
    ],
)
def test_verbosity_of_single_files(capsys: Capture, modules: tuple[VModule, ...], shown: bool) -> None:
    configure_logging(Logging(vmodule=modules))
    log.debug("detail")
    log.info("always")
    assert [line.rsplit(" ", 1)[1] for line in lines(capsys)] == (["detail"] if shown else []) + ["always"]


def test_a_module_cannot_be_made_quieter(capsys: Capture) -> None:
    configure_logging(Logging(verbosity=4, vmodule=(VModule("test_logs", 0),)))
    log.debug("detail")
    assert len(lines(capsys)) == 1


def routed(format_: LogFormat, buffer_size: str = "0", seconds: float = 5.0) -> Logging:
    routing = OutputRouting(split_stream=True, info_buffer_size=buffer_size)
    options = FormatOptions(text=routing) if format_ == "text" else FormatOptions(json=routing)
    return Logging(format=format_, options=options, flush_frequency=FlushInterval(int(seconds * 1e9)))


@pytest.mark.parametrize("format_", ["text", "json"])
def test_split_streams(capsys: Capture, format_: LogFormat) -> None:
    configure_logging(routed(format_))
    log.info("first")
    log.warning("second")
    log.error("third")
    captured = capsys.readouterr()
    assert [("first" in line, "second" in line) for line in captured.out.splitlines()] == [(True, False), (False, True)]
    assert "third" in captured.err
    assert captured.err.count("\n") == 1


def test_without_splitting_everything_goes_to_standard_error(capsys: Capture) -> None:
    configure_logging(Logging(options=FormatOptions(json=OutputRouting(split_stream=True))))
    log.info("here")
    assert capsys.readouterr().out == ""


def test_a_buffer_is_written_when_it_is_full(capsys: Capture) -> None:
    configure_logging(routed("text", "1k", 3600))
    for number in range(40):
        log.info("line %d", number)
    written = capsys.readouterr().out
    assert 1000 <= len(written) < 2200
    logging.getLogger().handlers[0].close()
    assert (written + capsys.readouterr().out).count("\n") == 40


def test_a_buffered_line_waits_no_longer_than_it_may(capsys: Capture) -> None:
    longest_wait = 0.2
    configure_logging(routed("json", "1Mi", longest_wait))
    log.info("soon")
    assert capsys.readouterr().out == ""
    [timer] = (t for t in threading.enumerate() if isinstance(t, threading.Timer) and t.interval == longest_wait)
    timer.join(5)
    assert "soon" in capsys.readouterr().out


def test_a_repeated_error_is_one_line_and_a_count(capsys: Capture) -> None:
    configure_logging(Logging())
    for _ in range(18):
        log.error("no route to %s", "10.0.0.1")
    log.error("no route to %s", "10.0.0.2")
    for _ in range(3):
        log.info("informed")
    logging.getLogger().handlers[0].close()
    assert [line.split("] ")[1] for line in lines(capsys)] == [
        "no route to 10.0.0.1",
        "no route to 10.0.0.2",
        "informed",
        "informed",
        "informed",
        "no route to 10.0.0.1 (repeated 17 times)",
    ]


JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl-_x"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAxyz\nabc==\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("message", "logged"),
    [
        ("Authorization: Bearer let-me-in", "Authorization: Bearer [redacted]"),
        ("headers {'Authorization': 'Basic dXNlcjpwYXNz'}", "headers {'Authorization': 'Basic [redacted]'}"),
        (f"refused {JWT} by the server", "refused [redacted] by the server"),
        ("GET https://admin:hunter2@api:6443/x", "GET https://admin:[redacted]@api:6443/x"),
        ('{"token":"abcdef","user":"x"}', '{"token":"[redacted]","user":"x"}'),
        ('{"status": {"clientKeyData": "LS0tLS1"}}', '{"status": {"clientKeyData": "[redacted]"}}'),
        ("/login?access_token=abc&x=1", "/login?access_token=[redacted]&x=1"),
        ("client-key-data: LS0tLS1CRUdJTg==", "client-key-data: [redacted]"),
        (f"read {KEY} from file", "read [redacted] from file"),
        ("cut off -----BEGIN PRIVATE KEY-----\nMIIEow", "cut off [redacted]"),
    ],
)
@pytest.mark.parametrize("format_", ["text", "json"])
def test_secrets_are_left_out(capsys: Capture, format_: LogFormat, message: str, logged: str) -> None:
    configure_logging(Logging(format=format_))
    log.info("%s", message)
    (line,) = lines(capsys)
    assert (json.loads(line)["msg"] if format_ == "json" else line.split("] ", 1)[1]) == logged


@pytest.mark.parametrize(
    "message",
    [
        "Service default/token: no health check on port 30000",
        "Service default/db-secret: the port belongs to Service default/password",
        "https://10.0.0.1:6443/api/v1/services: connection refused",
        "/var/run/secrets/kubernetes.io/serviceaccount/token: No such file or directory; using what was read last",
        "the client certificate and key do not fit",
    ],
)
def test_what_is_no_secret_stays(capsys: Capture, message: str) -> None:
    configure_logging(Logging())
    log.info("%s", message)
    assert lines(capsys)[0].endswith("] " + message)
