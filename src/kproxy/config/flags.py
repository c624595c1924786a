"""The whole command line: flags, the file named by `--config`, and which of the two counts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec

from kproxy.config.decoding import Document
from kproxy.config.defaults import effective
from kproxy.config.flag_syntax import Occurrence, split
from kproxy.config.flag_table import Flag, FlagType, flags
from kproxy.config.flag_values import parse_value
from kproxy.config.loading import finish, read_file
from kproxy.config.problems import ConfigError, Origin, Problem
from kproxy.config.types import KubeProxyConfiguration


class Action(Enum):
    """What the program is asked to do."""

    RUN = "run"
    HELP = "help"
    VERSION = "version"
    WRITE_CONFIG = "write-config"
    CLEANUP = "cleanup"
    INIT_ONLY = "init-only"


@dataclass(frozen=True, slots=True)
class CommandLine:
    """An understood command line.

    `configuration` is effective and valid (for HELP and VERSION it is that of an empty command line, since nothing
    else is looked at). `master` overrides the API server's address; `write_config_to` is set for WRITE_CONFIG;
    `take_over` says to replace a proxy that already runs.
    """

    action: Action
    configuration: KubeProxyConfiguration
    warnings: tuple[Problem, ...]
    origins: Mapping[str, Origin]
    config_file: Path | None = None
    write_config_to: Path | None = None
    master: str = ""
    take_over: bool = False


def parse_command_line(arguments: Sequence[str]) -> CommandLine:
    """Understand the arguments, without the program's name, and load the file they name.

    Raises:
        ConfigError: with every problem of the flags, or of the file.
    """
    occurrences, problems = split(arguments, flags())
    given, more = _values(occurrences)
    if given.get("help") is True:
        return _without_configuration(Action.HELP)
    if "version" in given and given["version"] != "false":
        return _without_configuration(Action.VERSION)
    problems += more
    if problems:
        raise ConfigError(problems)
    config_file = _path(given, "config")
    if config_file is None:
        document, warnings = Document("command line"), []
        counted = given
    else:
        document = read_file(config_file)
        counted = {name: value for name, value in given.items() if flags()[name].beside_file}
        warnings = _ignored(given, config_file)
    _lay_over(document, counted)
    if config_file is None:
        _settle_mode(document, counted)
    loaded = finish(document, explicit={path for path in document.origins if _is_from_flag(document, path)})
    return CommandLine(
        action=_action(given),
        configuration=loaded.configuration,
        warnings=(*warnings, *loaded.warnings),
        origins=loaded.origins,
        config_file=config_file,
        write_config_to=_path(given, "write-config-to"),
        master=str(given.get("master", "")),
        take_over=bool(given.get("takeover")),
    )


def _values(occurrences: Sequence[Occurrence]) -> tuple[dict[str, Any], list[Problem]]:
    """Return the value of each flag given. Lists and maps add up over repeated use, else the last one counts."""
    given: dict[str, Any] = {}
    problems: list[Problem] = []
    for occurrence in occurrences:
        flag = occurrence.flag
        try:
            value = _version(occurrence.text) if flag.type is FlagType.VERSION else parse_value(flag, occurrence.text)
        except ValueError as error:
            problems.append(Problem("", str(error), _origin(flag)))
            continue
        if flag.name in given and flag.type in {FlagType.STRING_SLICE, FlagType.VMODULE}:
            given[flag.name] += value
        elif flag.name in given and flag.type is FlagType.GATES:
            given[flag.name] |= value
        else:
            given[flag.name] = value
    hostname = given.get("hostname-override", "")
    if hostname and not hostname.strip():
        problems.append(Problem("", "must not be blank", Origin("--hostname-override")))
    return given, problems


def _version(text: str) -> str:
    if text in {"true", "false", "raw"}:
        return text
    raise ValueError("takes no value: the version that is reported cannot be changed")


def _lay_over(document: Document, given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        flag = flags()[name]
        if flag.path and value is not msgspec.UNSET:
            if flag.type is FlagType.VMODULE:
                section, _, name = flag.path.rpartition(".")
                value = [*value, *document.section(section).get(name, [])]
            document.put(flag.path, value, _origin(flag))


def _settle_mode(document: Document, given: Mapping[str, Any]) -> None:
    """Put the flags that are named after iptables where the mode reads them, as kube-proxy does without a file."""
    mode = document.tree.get("mode", "iptables")
    if mode == "nftables":
        iptables = document.section("iptables")
        moved = {"syncPeriod", "minSyncPeriod", "masqueradeAll"} & iptables.keys()
        for name in sorted(moved):
            document.put(f"nftables.{name}", iptables.pop(name), document.origins.pop(f"iptables.{name}"))
    if mode == "ipvs" and "ipvs-min-sync-period" not in given:
        # Without a file every mode pauses a second; in a file, ipvs alone does not.
        document.section("ipvs")["minSyncPeriod"] = "1s"


def _ignored(given: Mapping[str, Any], config_file: Path) -> list[Problem]:
    names = [f"--{name}" for name in given if flags()[name].path and not flags()[name].beside_file]
    if not names:
        return []
    return [
        Problem("", f"ignored, because --config {config_file} is given: {', '.join(names)}", Origin("command line"))
    ]


def _action(given: Mapping[str, Any]) -> Action:
    if given.get("write-config-to"):
        return Action.WRITE_CONFIG
    if given.get("cleanup"):
        return Action.CLEANUP
    return Action.INIT_ONLY if given.get("init-only") else Action.RUN


def _without_configuration(action: Action) -> CommandLine:
    return CommandLine(action, effective(KubeProxyConfiguration()), (), {})


def _path(given: Mapping[str, Any], name: str) -> Path | None:
    return Path(given[name]) if given.get(name) else None


def _origin(flag: Flag) -> Origin:
    return Origin(f"--{flag.name}")


def _is_from_flag(document: Document, path: str) -> bool:
    return document.origins[path].line == 0
