"""The configuration of the proxy: files, flags, defaults and validation, compatible with kube-proxy."""

from kproxy.config.flags import Action, CommandLine, parse_command_line
from kproxy.config.loading import Loaded, load_bytes, load_file
from kproxy.config.problems import ConfigError, Origin, Problem
from kproxy.config.types import KubeProxyConfiguration, LocalMode, ProxyMode

__all__ = [
    "Action",
    "CommandLine",
    "ConfigError",
    "KubeProxyConfiguration",
    "Loaded",
    "LocalMode",
    "Origin",
    "Problem",
    "ProxyMode",
    "load_bytes",
    "load_file",
    "parse_command_line",
]
