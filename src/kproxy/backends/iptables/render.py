"""The rules as text for `iptables-restore`, without a kernel."""

from kproxy.backends.interface import Model
from kproxy.backends.iptables.desired import DesiredRules
from kproxy.backends.iptables.full import full_input
from kproxy.backends.iptables.options import RuleOptions
from kproxy.backends.iptables.saved import Saved


def render(model: Model, options: RuleOptions) -> str:
    """What a fresh start would hand to iptables-restore (ip6tables-restore) for the family of the options."""
    desired = DesiredRules(options)
    desired.load(model)
    return full_input(desired, Saved({})).to_bytes().decode()
