"""`kube-proxy` on a kernel without nf_tables: `python -m tests.userspace.without_nftables --config FILE`."""

from collections.abc import Collection
from unittest import mock

from kproxy.backends.interface import Backend, BackendError
from kproxy.backends.userspace import redirection
from kproxy.backends.userspace.options import UserspaceOptions
from kproxy.cli.kube_proxy import main
from kproxy.services.addresses import Family


def _absent(families: Collection[Family], options: UserspaceOptions) -> Backend:
    raise BackendError("this kernel has no nf_tables")


if __name__ == "__main__":
    with mock.patch.object(redirection, "_nftables", _absent):
        main()
