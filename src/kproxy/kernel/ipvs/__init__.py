"""IP virtual servers over generic netlink (linux/ip_vs.h): encoders, a socket and reading back.

Knows virtual servers and real servers; knows nothing of Services.
"""
