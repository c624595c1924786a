"""wrk and iperf3 from here through cluster IPs, to endpoints that are here as well."""

from asyncio import Server
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing

from kproxy.bench.local.load_programs import LoadError, bits_per_second, requests_per_second
from kproxy.bench.local.prober import Target
from kproxy.bench.results.schema import Run
from kproxy.lab.process import Process


@asynccontextmanager
async def launch(argv: Sequence[str]) -> AsyncIterator[Process]:
    """Run a program beside the benchmark for the length of a block; it is killed at its end.

    Raises:
        OSError: as `Process`
    """
    with closing(Process(None, argv)) as process:
        yield process


async def measure(
    direct: Target,
    service: Target,
    stream: Server,
    stream_service: Target,
    seconds: int,
    run: Run,
    doing: Callable[[str], None],
) -> None:
    """Measure into a run; what cannot be measured is among its problems.

    Args:
        direct: an HTTP server's own address and port
        service: a Service that leads there
        stream: a server whose port iperf3 takes over
        stream_service: the Service that leads to that port
        seconds: of each; 0: nothing is measured
        run: where samples go
        doing: called with what is being done
    """
    if not seconds:
        run.miss("requests per second and throughput: left out as asked (--load-seconds 0)")
        return
    doing("wrk")
    await _add(run, "requests_direct", requests_per_second(launch, direct, seconds))
    await _add(run, "requests", requests_per_second(launch, service, seconds))
    doing("iperf3")
    address, port = stream.sockets[0].getsockname()[:2]
    listener = (address, port)
    stream.close()
    await _add(run, "throughput_direct", bits_per_second(launch, launch, listener, listener, seconds))
    await _add(run, "throughput", bits_per_second(launch, launch, stream_service, listener, seconds))


async def _add(run: Run, name: str, measured: Awaitable[float]) -> None:
    try:
        run.add(name, [await measured])
    except LoadError as error:
        run.miss(str(error))
