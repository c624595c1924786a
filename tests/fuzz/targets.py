"""What is fuzzed: each module has `run`, which takes any bytes, `seeds` to start from and `WORDS` to put in."""

from collections.abc import Callable
from typing import NamedTuple

from tests.fuzz import config_target, kubeconfig_target, manifest_target, watch_target


class Target(NamedTuple):
    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: tuple[str, ...]


TARGETS = {
    "config": Target(config_target.run, config_target.seeds, config_target.WORDS),
    "kubeconfig": Target(kubeconfig_target.run, kubeconfig_target.seeds, kubeconfig_target.WORDS),
    "manifest": Target(manifest_target.run, manifest_target.seeds, manifest_target.WORDS),
    "watch": Target(watch_target.run, watch_target.seeds, watch_target.WORDS),
}
