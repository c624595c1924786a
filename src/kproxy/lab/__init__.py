"""A Kubernetes node and its neighbours out of network namespaces, for the demo, tests and benchmarks.

`lab.Lab` builds it, `runner.run_scenario` holds a proxy in it against a table of expectations, and `demo` shows
one at work. Everything lives in namespaces that end with the process.
"""
