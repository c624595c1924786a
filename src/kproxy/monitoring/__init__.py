"""What a monitoring system is to ask of the proxies: Prometheus rules, a Grafana dashboard, what to scrape.

All of it is for kproxy and for the stock kube-proxy, whose metrics have the same names. `deploy/monitoring` holds what
this package generates with its defaults.
"""
