"""What a load balancer learns on health check node ports (`healthCheckNodePort`)."""

import asyncio
from collections.abc import Mapping

import aiohttp

from kproxy.lab.lab import Lab
from kproxy.lab.topology import EXTERNAL, NODE


async def health_differences(lab: Lab, expected: Mapping[int, int]) -> list[str]:
    """Ask the node from outside, as a load balancer does.

    Args:
        lab: where.
        expected: how many endpoints on the node each port has to report: with some it answers 200, without 503.

    Returns:
        What is otherwise, a line for each port.
    """
    async with lab.http(EXTERNAL.name) as http:
        lines = await asyncio.gather(*(_difference(http, port, count) for port, count in expected.items()))
    return [line for line in lines if line]


async def _difference(http: aiohttp.ClientSession, port: int, count: int) -> str:
    wanted = f"{200 if count else 503}, {count} endpoints here"
    try:
        async with http.get(f"http://{NODE.address.v4.ip}:{port}/") as response:
            met = f"{response.status}, {(await response.json())['localEndpoints']} endpoints here"
    except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
        met = f"{type(error).__name__}: {error}"
    return "" if met == wanted else f"health check node port {port}: expected {wanted}; met {met}"
