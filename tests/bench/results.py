"""Results made up for tests of what is made of them."""

from kproxy.bench.results.schema import Machine, Noise, Result

MODES = ("nftables", "iptables")
SIZES = (100, 1000)


def machine(kernel: str = "Linux 6.1") -> Machine:
    return Machine(kernel, "a processor", 2, 4 << 30, "3.11.7", "0.1.0", programs={"wrk": "4.1", "iperf3": "missing"})


def result(scale: float = 1.0, contenders: tuple[str, ...] = ("kproxy",)) -> Result:
    """Two modes and two sizes; iptables' updates take a time that follows the number of Services."""
    made = Result("2026-01-01T00:00:00+00:00", ["kproxy", "bench", "local"], machine())
    made.contenders = {name: [f"/bin/{name}"] for name in contenders}
    made.noise = Noise([0.001, 0.0011], 0.1, 0.2, 0.05, 0.0)
    made.remarks = ["mode ipvs is left out: <no kernel>"]
    for services in SIZES:
        for mode in MODES:
            for contender in contenders:
                run = made.run(contender, mode, services, 10)
                base = 0.002 if mode == "nftables" else services * 1e-5
                factor = scale * (1.0 if contender == contenders[0] else 2.0)
                for _ in range(2):
                    run.add("update_connection", [base * factor * (1 + i / 100) for i in range(10)])
                    run.add("connect_last", [45e-6 * factor] * 20)
                    run.add("connect_direct", [40e-6] * 20)
                    run.add("cpu_change", [base * factor / 2])
                    run.add("resident", [80e6])
                run.add("cpu_start", [base * factor * 100])
                run.metrics = {"kubeproxy_sync_proxy_rules_duration_seconds_sum": 1.5}
    return made
