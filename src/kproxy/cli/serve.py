"""From an understood command line to a proxy that runs until SIGTERM."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import TypeAlias

from kproxy import __version__
from kproxy.backends.interface import Backend, BackendError
from kproxy.config import CommandLine, KubeProxyConfiguration, parse_command_line
from kproxy.config.reload import Part
from kproxy.daemon.daemon import Daemon, Source
from kproxy.daemon.logs import configure_logging
from kproxy.daemon.modes import make_backend
from kproxy.daemon.reload import Apply
from kproxy.kernel.instance_lock import AlreadyRunningError, InstanceLock, acquire, take_over
from kproxy.node.node_name import NodeNameError, node_name
from kproxy.sources.configuration_file import ConfigurationFile
from kproxy.sources.errors import SourceError

log = logging.getLogger(__name__)

_THREADS = 4

OpenBackend: TypeAlias = Callable[[KubeProxyConfiguration], Backend]


def serve(
    command: CommandLine,
    arguments: Sequence[str],
    manifests: Path | None = None,
    open_backend: OpenBackend = make_backend,
) -> int:
    """Run the proxy until SIGTERM; from a folder of manifests, or else from the API.

    Args:
        command: understood
        arguments: what it was understood from, to be read again when the configuration file changes
        manifests: the folder
        open_backend: opens the backend of the configured mode

    Returns:
        The exit status.
    """
    service = _Service(command, arguments, open_backend)
    try:
        asyncio.run(service.run(manifests))
    except (AlreadyRunningError, BackendError, NodeNameError, SourceError, OSError) as error:
        log.critical("%s", error)
        return 1
    return 0


class _Service:
    def __init__(self, command: CommandLine, arguments: Sequence[str], open_backend: OpenBackend) -> None:
        self._command, self._arguments, self._open_backend = command, arguments, open_backend
        self._verbosity = configure_logging(command.configuration.logging)
        _warn(command)

    async def run(self, manifests: Path | None) -> None:
        asyncio.get_running_loop().set_default_executor(_started_threads())
        configuration = self._command.configuration
        name = node_name(configuration.hostname_override)
        description = f"kproxy {__version__}, mode {configuration.mode}"
        lock = take_over(description) if self._command.take_over else acquire(description)
        try:
            if manifests is not None:
                await self._follow_manifests(name, manifests, lock)
            else:
                await self._follow_api(name, lock)
        finally:
            lock.close()

    async def _follow_manifests(self, name: str, folder: Path, lock: InstanceLock) -> None:
        from kproxy.sources.manifests import ManifestSource

        appliers = {Part.LOGGING: self._configure_logging, Part.API_CLIENT: _nothing_to_do}
        daemon = Daemon(
            self._command.configuration,
            name,
            set_verbosity=self._set_verbosity,
            appliers=appliers,
            open_backend=self._open_backend,
        )
        await self._run(daemon, ManifestSource(folder, daemon.sink), lock)

    async def _follow_api(self, name: str, lock: InstanceLock) -> None:
        from kproxy.node.events import EventRecorder
        from kproxy.sources.client import ApiClient
        from kproxy.sources.errors import TransportError
        from kproxy.sources.kubeconfig import load_connection
        from kproxy.sources.kubernetes import KubernetesSource, reflector_settings

        configuration = self._command.configuration
        client = configuration.client_connection
        kubeconfig = Path(client.kubeconfig) if client.kubeconfig else None
        connection = load_connection(kubeconfig, master=self._command.master)

        def count(code: str, method: str, host: str) -> None:
            daemon.metrics.api_requests.labels(code, method, host).inc()

        async def set_client(changed: KubeProxyConfiguration) -> None:
            api.set_rate(changed.client_connection.qps, changed.client_connection.burst)
            source.set_settings(reflector_settings(changed))

        appliers: Mapping[Part, Apply] = {Part.LOGGING: self._configure_logging, Part.API_CLIENT: set_client}
        async with ApiClient(
            connection, qps=client.qps, burst=client.burst, content_type=client.content_type, on_request=count
        ) as api:
            recorder = EventRecorder(api.post, name, may_work_later=lambda error: isinstance(error, TransportError))
            daemon = Daemon(
                configuration,
                name,
                on_event=recorder.record,
                set_verbosity=self._set_verbosity,
                appliers=appliers,
                open_backend=self._open_backend,
            )
            source = KubernetesSource(api, name, daemon.sink, settings=reflector_settings(configuration))
            daemon.show_resources(source.reflectors)
            sending = asyncio.create_task(recorder.run(), name="events")
            try:
                await self._run(daemon, source, lock)
            finally:
                sending.cancel()

    async def _run(self, daemon: Daemon, source: Source, lock: InstanceLock) -> None:
        await lock.serve(daemon.stop)
        following = asyncio.create_task(self._follow_configuration(daemon), name="configuration file")
        try:
            await daemon.run(source)
        finally:
            following.cancel()

    async def _follow_configuration(self, daemon: Daemon) -> None:
        if self._command.config_file is None:
            # As daemons do: SIGHUP means to read the configuration again, of which there is none.
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)
            return

        async def reload(command: CommandLine) -> None:
            if command.configuration != daemon.configuration:
                _warn(command)
                await daemon.reload(command.configuration)

        load = partial(parse_command_line, self._arguments)
        file = ConfigurationFile(self._command.config_file, load, on_change=reload)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, file.look)
        try:
            await file.run()
        except OSError as error:
            log.warning("Changes of %s will not be noticed: %s", self._command.config_file, error)

    # ------------------------------------------------------------------ logging

    def _set_verbosity(self, verbosity: int) -> None:
        self._verbosity.set(verbosity)

    async def _configure_logging(self, configuration: KubeProxyConfiguration) -> None:
        self._verbosity = configure_logging(configuration.logging)


def _started_threads() -> ThreadPoolExecutor:
    """Threads for what would hold up the event loop. All are there from the start: later, none may be to be had."""
    executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="work")
    together = threading.Barrier(_THREADS)
    wait([executor.submit(together.wait) for _ in range(_THREADS)])
    return executor


async def _nothing_to_do(_: KubeProxyConfiguration) -> None:
    """There is no API client."""


def _warn(command: CommandLine) -> None:
    for warning in command.warnings:
        log.warning("%s", warning)
