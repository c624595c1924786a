"""Which sources the `recent` match remembers: its session affinity (/proc/net/xt_recent)."""

from collections.abc import Collection
from pathlib import Path

from kproxy.services.addresses import Address, parse_address

_LISTS = Path("/proc/thread-self/net/xt_recent")
_SOURCE = "src="


def read_recent(folder: Path = _LISTS) -> dict[str, Collection[Address]]:
    """Every list, of the network namespace of the calling thread.

    An entry that has expired stays listed until a rule with `--reap` meets it, so a source may be in a list whose
    rule no longer accepts it; the kernel tells its age in ticks that only it knows.
    """
    found: dict[str, Collection[Address]] = {}
    try:
        paths = list(folder.iterdir())
    except OSError:
        return found  # the module is not there, and so no list
    for path in paths:
        try:
            lines = path.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            continue  # it went meanwhile
        words = (line.split(" ", 1)[0].removeprefix(_SOURCE) for line in lines if line.startswith(_SOURCE))
        found[path.name] = {address for word in words if (address := parse_address(word)) is not None}
    return found
