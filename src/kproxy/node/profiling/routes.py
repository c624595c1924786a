"""`/debug/pprof/` and `/debug/flags/v`, at the paths that Go's programs have them."""

import sys
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from kproxy.node.profiling import cpu, heap, stacks
from kproxy.node.profiling.cpu import ProfilerBusyError
from kproxy.node.profiling.pprof import ValueType, collapsed, encode

_TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
_CPU_SECONDS, _HEAP_SECONDS, _MOST_SECONDS = 30.0, 5.0, 300.0
_LONGEST_LEVEL = 16
_MOST_VERBOSE = 2**31 - 1

_PROFILES = {
    "cmdline": "the command line of this process, its arguments separated by NUL",
    "goroutine": "the stacks of all tasks and threads, as text",
    "heap": "what is allocated within seconds (5), and still there then; heap?debug=1: as text",
    "profile": "where the processor's time goes within seconds (30); profile?debug=1: as stacks for flame graphs",
}


def install_profiling(set_verbosity: Callable[[int], None]) -> Callable[[web.Application], None]:
    """Make what adds the paths to an application.

    Args:
        set_verbosity: sets `-v`
    """

    async def set_flag(request: web.Request) -> web.Response:
        if request.method != "PUT":
            return _text("unsupported http method\n", 406)
        level = (await request.content.read(_LONGEST_LEVEL)).decode(errors="replace")
        if not (level.isascii() and level.isdecimal()) or int(level) > _MOST_VERBOSE:
            return _text(f"failed set klog.logging.verbosity {level!r}: not a number from 0\n", 400)
        set_verbosity(int(level))
        return _text(f"successfully set klog.logging.verbosity to {level}\n")

    def install(app: web.Application) -> None:
        routes: dict[str, Callable[[web.Request], Awaitable[web.Response]]] = {
            "/debug/pprof": _index,
            "/debug/pprof/": _index,
            "/debug/pprof/cmdline": _command_line,
            "/debug/pprof/goroutine": _goroutine,
            "/debug/pprof/heap": _heap,
            "/debug/pprof/profile": _profile,
            "/debug/flags": _flags,
            "/debug/flags/": _flags,
            "/debug/flags/v": set_flag,
        }
        for path, handler in routes.items():
            app.router.add_route("*", path, handler)

    return install


async def _index(_: web.Request) -> web.Response:
    items = "".join(
        f'<li><a href="/debug/pprof/{name}">{name}</a>: {words}</li>\n' for name, words in _PROFILES.items()
    )
    page = f"<html>\n<head><title>/debug/pprof/</title></head>\n<body>\n<ul>\n{items}</ul>\n</body>\n</html>\n"
    return web.Response(text=page, content_type="text/html")


async def _flags(_: web.Request) -> web.Response:
    return _text("v: the log's verbosity; set it with PUT /debug/flags/v and a number as the body\n")


async def _command_line(_: web.Request) -> web.Response:
    return _text("\0".join(sys.argv))


async def _goroutine(_: web.Request) -> web.Response:
    return _text(stacks.describe())


async def _profile(request: web.Request) -> web.Response:
    seconds = _seconds(request, _CPU_SECONDS)
    began = time.time_ns()
    try:
        taken = await cpu.profile(seconds)
    except ProfilerBusyError as error:
        return _text(f"Could not enable CPU profiling: {error}\n", 500)
    samples = {stack: (count, count * cpu.PERIOD_NS) for stack, count in taken.items()}
    if _wants_text(request):
        return _text(collapsed(samples))
    nanoseconds = ValueType("cpu", "nanoseconds")
    return _binary(
        encode(
            (ValueType("samples", "count"), nanoseconds),
            samples,
            period_type=nanoseconds,
            period=cpu.PERIOD_NS,
            time_ns=began,
            duration_ns=time.time_ns() - began,
        ),
        "profile",
    )


async def _heap(request: web.Request) -> web.Response:
    seconds = _seconds(request, _HEAP_SECONDS)
    began = time.time_ns()
    try:
        taken = await heap.profile(seconds)
    except ProfilerBusyError as error:
        return _text(f"Could not enable heap profiling: {error}\n", 500)
    if _wants_text(request):
        lines = [
            f"{bytes_:>12} bytes in {objects:>9} objects: {stack[0].function}\n"
            for stack, (objects, bytes_) in taken.items()
        ]
        return _text(f"{heap.summary()}\nallocated within {seconds:g} s, and still there:\n{''.join(lines)}")
    space = ValueType("inuse_space", "bytes")
    return _binary(
        encode(
            (ValueType("inuse_objects", "count"), space),
            taken,
            period_type=space,
            period=1,
            time_ns=began,
            duration_ns=time.time_ns() - began,
        ),
        "heap",
    )


def _seconds(request: web.Request, otherwise: float) -> float:
    try:
        seconds = float(request.query.get("seconds", otherwise))
    except ValueError:
        return otherwise
    return min(seconds, _MOST_SECONDS) if seconds > 0 else otherwise


def _wants_text(request: web.Request) -> bool:
    return request.query.get("debug", "0") != "0"


def _text(text: str, status: int = 200) -> web.Response:
    return web.Response(body=text.encode(errors="replace"), status=status, headers=_TEXT)


def _binary(body: bytes, name: str) -> web.Response:
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(body=body, headers=headers)
