"""`kube-proxy`: the drop-in, with the original's flags and configuration file."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from kproxy import __version__
from kproxy.config import Action, CommandLine, ConfigError, KubeProxyConfiguration, parse_command_line


def main() -> None:
    """Entry point."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run with the arguments; returns the exit status: 0 after SIGTERM, 1 when something is wrong."""
    try:
        command = parse_command_line(arguments)
    except ConfigError as error:
        for warning in error.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        print(error, file=sys.stderr)
        return 1
    match command.action:
        case Action.HELP:
            from kproxy.config.flag_table import help_text

            print(help_text())
        case Action.VERSION:
            print(f"Kubernetes v1.36.2 (kproxy {__version__})")
        case Action.WRITE_CONFIG:
            return _write_configuration(command)
        case Action.CLEANUP:
            return _clean_up(command.configuration)
        case Action.INIT_ONLY:
            return 0
        case Action.RUN:
            return serve(command)
    return 0


def serve(command: CommandLine, manifests: Path | None = None) -> int:
    """Run the proxy until SIGTERM; from a folder of manifests, or else from the API.

    Returns the exit status.
    """
    import logging

    from kproxy.backends.interface import BackendError
    from kproxy.daemon.daemon import node_name
    from kproxy.daemon.logs import configure_logging
    from kproxy.sources.errors import SourceError

    configuration = command.configuration
    configure_logging(configuration.logging)
    log = logging.getLogger(__name__)
    for warning in command.warnings:
        log.warning("%s", warning)
    name = node_name(configuration.hostname_override)

    async def follow() -> None:
        if manifests is not None:
            await _follow_manifests(configuration, name, manifests)
        else:
            await _follow_api(configuration, name, command.master)

    try:
        asyncio.run(follow())
    except (BackendError, SourceError, OSError) as error:
        log.critical("%s", error)
        return 1
    return 0


async def _follow_manifests(configuration: KubeProxyConfiguration, node: str, folder: Path) -> None:
    from kproxy.daemon.daemon import Daemon
    from kproxy.sources.manifests import ManifestSource

    daemon = Daemon(configuration, node)
    await daemon.run(ManifestSource(folder, daemon.sink))


async def _follow_api(configuration: KubeProxyConfiguration, node: str, master: str) -> None:
    from kproxy.daemon.daemon import Daemon
    from kproxy.node.events import EventRecorder
    from kproxy.sources.client import ApiClient
    from kproxy.sources.kubeconfig import load_connection
    from kproxy.sources.kubernetes import KubernetesSource

    client = configuration.client_connection
    connection = load_connection(Path(client.kubeconfig) if client.kubeconfig else None, master=master)

    def count(code: str, method: str, host: str) -> None:
        daemon.metrics.api_requests.labels(code, method, host).inc()

    async with ApiClient(connection, qps=client.qps, burst=client.burst, on_request=count) as api:
        recorder = EventRecorder(api.post, node)
        daemon = Daemon(configuration, node, on_event=recorder.warn)
        sending = asyncio.create_task(recorder.run(), name="events")
        try:
            await daemon.run(KubernetesSource(api, node, daemon.sink))
        finally:
            sending.cancel()


def _write_configuration(command: CommandLine) -> int:
    from kproxy.config.dump import to_yaml

    path = command.write_config_to
    if path is None:
        return 1
    try:
        path.write_text(to_yaml(command.configuration), encoding="utf-8")
    except OSError as error:
        print(f"{path}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"Wrote configuration to: {path}")
    return 0


def _clean_up(configuration: KubeProxyConfiguration) -> int:
    from kproxy.backends.interface import BackendError
    from kproxy.daemon.modes import clean_up

    try:
        removed = clean_up(configuration)
    except (BackendError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for words in removed:
        print(f"removed {words}")
    if not removed:
        print("nothing to remove")
    return 0
