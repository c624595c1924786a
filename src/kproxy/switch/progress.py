"""Where a switch of a node has got to, kept beside the configuration so that an interrupted one can go on."""

import enum
from pathlib import Path

import msgspec

from kproxy.switch.plan import SwitchError


class Phase(enum.IntEnum):
    """What is done already."""

    STARTED = 0
    BACKED_UP = 1
    MODULES_LOADED = 2
    EDITED = 3
    RESTARTED = 4
    VERIFIED = 5


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    from_mode: str
    to_mode: str
    phase: Phase
    answered: tuple[str, ...]
    """The Services that answered before."""


def state_path(config: Path) -> Path:
    return config.with_name(f"{config.name}.kproxy-switch.json")


def backup_path(config: Path) -> Path:
    return config.with_name(f"{config.name}.kproxy-backup")


def load(config: Path) -> Progress | None:
    """The unfinished switch of a configuration file; None when there is none.

    Raises:
        SwitchError: what is there cannot be read
    """
    path = state_path(config)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise SwitchError(f"{path}: {error}") from error


def save(config: Path, progress: Progress) -> None:
    """Remember.

    Raises:
        SwitchError: it cannot be written
    """
    write(state_path(config), msgspec.json.encode(progress))


def forget(config: Path) -> None:
    """The switch is finished; the backup stays."""
    state_path(config).unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Replace a file in one step, with the permissions that it had.

    Raises:
        SwitchError: it cannot be written
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.partial")
    try:
        mode = path.stat().st_mode & 0o7777 if path.exists() else 0o600
        temporary.write_bytes(data)
        temporary.chmod(mode)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise SwitchError(f"{path}: {error.strerror}") from error
