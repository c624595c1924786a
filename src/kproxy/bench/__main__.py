"""Benchmarks from the command line: `python -m kproxy.bench nftables`."""

import argparse
import os
import sys

from kproxy.backends.interface import BackendError
from kproxy.bench import iptables_report, ipvs_report, nftables_report, userspace_report
from kproxy.bench.report import Report

BENCHMARKS = {
    "nftables": nftables_report.run,
    "iptables": iptables_report.run,
    "ipvs": ipvs_report.run,
    "userspace": userspace_report.run,
}


def main() -> int:
    """Run the benchmark named on the command line; returns 1 when a figure misses its bound."""
    parser = argparse.ArgumentParser(prog="python -m kproxy.bench", description=__doc__)
    parser.add_argument("benchmark", choices=sorted(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="leave out the largest clusters")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("needs root: makes network namespaces", file=sys.stderr)
        return 2
    try:
        return BENCHMARKS[arguments.benchmark](Report(), quick=arguments.quick)
    except (BackendError, OSError) as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
