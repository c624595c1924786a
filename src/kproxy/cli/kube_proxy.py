"""`kube-proxy`: the drop-in, with the original's flags and configuration file."""

import asyncio
import sys
from collections.abc import Sequence

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
            return _initialise(command)
        case Action.RUN:
            from kproxy.daemon import memory

            memory.expect_many_objects()  # as modules are: collections during imports cost a tenth of them
            from kproxy.cli.serve import serve

            return serve(command, arguments)
    return 0


def _initialise(command: CommandLine) -> int:
    import logging

    from kproxy.daemon.initialisation import initialise_only
    from kproxy.daemon.logs import configure_logging

    configure_logging(command.configuration.logging)
    log = logging.getLogger(__name__)
    result, problem = initialise_only(command.configuration)
    for words in result.done:
        log.info("%s", words)
    for limit in result.problems:
        log.error("%s", limit)
    if problem:
        log.error("%s", problem)
    # A limit that cannot be raised costs connections, one that keeps a pod from starting costs them all.
    return 1 if problem else 0


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
        removed = asyncio.run(clean_up(configuration))
    except (BackendError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for words in removed:
        print(f"removed {words}")
    if not removed:
        print("nothing to remove")
    return 0
