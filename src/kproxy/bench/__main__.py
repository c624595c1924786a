"""Benchmarks from the command line: `python -m kproxy.bench nftables`."""

import argparse
import sys

from kproxy.bench import nftables


def main() -> int:
    """Run the benchmark named on the command line; returns 1 when a figure misses its bound."""
    parser = argparse.ArgumentParser(prog="python -m kproxy.bench", description=__doc__)
    parser.add_argument("benchmark", choices=["nftables"])
    parser.add_argument("--quick", action="store_true", help="leave out the clusters with a million endpoints")
    arguments = parser.parse_args()
    return nftables.run(quick=arguments.quick)


if __name__ == "__main__":
    sys.exit(main())
