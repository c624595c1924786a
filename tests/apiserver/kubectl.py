"""The real kubectl, run against the server."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Kubectl:
    """Runs the `kubectl` of this machine against the server."""

    program: str
    environment: dict[str, str]

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            self.program, *arguments, stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment
        )

    async def run(self, *arguments: str, stdin: str = "") -> Outcome:
        process = await self.start(*arguments)
        out, err = await process.communicate(stdin.encode())
        return Outcome(process.returncode or 0, out.decode(), err.decode())

    async def __call__(self, *arguments: str, stdin: str = "") -> str:
        outcome = await self.run(*arguments, stdin=stdin)
        assert outcome.code == 0, outcome.err
        return outcome.out
