"""Which rules bring traffic to the proxy: nftables mode's where the kernel has it, else iptables mode's."""

import logging
from collections.abc import Collection

from kproxy.backends.interface import Backend, BackendError
from kproxy.backends.userspace.options import Redirect, UserspaceOptions
from kproxy.services.addresses import Family

log = logging.getLogger(__name__)


def open_rules(families: Collection[Family], options: UserspaceOptions) -> Backend:
    """Open the backend that writes the rules.

    Raises:
        BackendError: none works here; says why
    """
    match options.redirect:
        case Redirect.NFTABLES:
            return _nftables(families, options)
        case Redirect.IPTABLES:
            return _iptables(families, options)
    try:
        return _nftables(families, options)
    except BackendError as without_nftables:
        try:
            rules = _iptables(families, options)
        except BackendError as without_iptables:
            raise BackendError(
                f"nothing can redirect traffic here: {without_nftables}; {without_iptables}; "
                "without redirection (--redirect none), userspace mode needs neither"
            ) from without_iptables
        log.info("Redirecting with iptables, as %s", without_nftables)
        return rules


def _nftables(families: Collection[Family], options: UserspaceOptions) -> Backend:
    from kproxy.backends.nftables.backend import NftablesBackend
    from kproxy.backends.nftables.ruleset import RulesetOptions

    ruleset = RulesetOptions(masquerade_all=options.masquerade_all, masquerade_mark=options.masquerade_mark)
    return NftablesBackend(families, ruleset)


def _iptables(families: Collection[Family], options: UserspaceOptions) -> Backend:
    from kproxy.backends.iptables.backend import IptablesBackend, IptablesOptions

    rules = IptablesOptions(
        masquerade_all=options.masquerade_all,
        masquerade_mark=options.masquerade_mark,
        localhost_node_ports=options.localhost_node_ports,
    )
    return IptablesBackend(families, rules)
