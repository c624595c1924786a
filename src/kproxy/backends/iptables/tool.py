"""The programs of the iptables package: reading and writing rules with them."""

import asyncio
import enum
from collections import deque

from kproxy.backends.iptables.saved import Saved, parse
from kproxy.kernel.processes import ProcessError, run, run_blocking
from kproxy.services.addresses import Family

LOCK_WAIT_SECONDS = 5
"""How long to wait for /run/xtables.lock, as kube-proxy does."""
_LOCK_HELD = "xtables lock"
"""In its complaint; the exit status, RESOURCE_PROBLEM (xtables.h), is also that of rules which nf_tables refuses."""
_TIME_LIMIT = 600.0
"""Seconds; rewriting everything in a huge legacy table takes minutes."""
_REMEMBERED = 256
COMMANDS = {Family.IPV4: "iptables", Family.IPV6: "ip6tables"}


class Variant(enum.Enum):
    """The two programs of the same name: each has rules of its own, which the other does not see."""

    LEGACY = "legacy"
    NFT = "nft"


class Tool:
    """One family's programs of one variant, in the network namespace of the calling thread."""

    def __init__(
        self, family: Family, variant: Variant, *, infix: str = "", lock_wait: int = LOCK_WAIT_SECONDS
    ) -> None:
        """Name the programs.

        Args:
            family: whose rules
            variant: of the programs that these names lead to
            infix: what stands in their names before `-save` and `-restore`; empty for the node's default
            lock_wait: seconds to wait for the lock that the legacy programs share
        """
        self.family, self.variant, self._lock_wait = family, variant, lock_wait
        command = f"{COMMANDS[family]}{infix}"
        self.processes: deque[int] = deque(maxlen=_REMEMBERED)
        """The last programs that were run to write rules."""
        self._save = [f"{command}-save"]
        self._restore = [f"{command}-restore", "-w", str(lock_wait), "--noflush"]

    @property
    def prefers_descending(self) -> bool:
        """Whether it takes new chains fastest from the last name to the first; else, from the first to the last."""
        return self.variant is Variant.LEGACY

    async def save(self, table: str = "") -> Saved:
        """Read one table, or all that there are.

        Raises:
            ProcessError: iptables-save failed
        """
        # A thread: in a large cluster, to take it apart takes a second.
        return await asyncio.to_thread(parse, await run(self._saving(table), time_limit=_TIME_LIMIT))

    def save_blocking(self, table: str = "") -> Saved:
        """Read as `save` does, when the proxy starts.

        Raises:
            ProcessError: iptables-save failed
        """
        return parse(run_blocking(self._saving(table), time_limit=_TIME_LIMIT))

    async def restore(self, commands: bytes) -> None:
        """Carry out commands; each table's take effect together.

        Raises:
            ProcessError: iptables-restore failed, or could not have the lock
        """
        try:
            await run(self._restore, commands, time_limit=_TIME_LIMIT, on_start=self.processes.append)
        except ProcessError as error:
            if _LOCK_HELD in error.stderr:
                # It counts the seconds down in its complaint, and an error that stays the same is logged once.
                reason = f"another program has held the xtables lock for {self._lock_wait} s"
                raise ProcessError(self._restore, reason, status=error.status) from error
            raise

    def _saving(self, table: str) -> list[str]:
        return [*self._save, *(["-t", table] if table else [])]

    def __str__(self) -> str:
        return f"{self._restore[0].removesuffix('-restore')} ({self.variant.value})"
