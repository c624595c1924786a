"""Kubernetes feature gates: the ones that concern a service proxy, and what becomes of them here.

A gate is never an error: clusters set the same list for all their components. One that has no effect is reported.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from kproxy.config.problems import Problem, suggestion


class Effect(Enum):
    """What setting a gate does."""

    HONOURED = "switches the feature"
    ALWAYS_ON = "is always on in this proxy and cannot be turned off"
    ABSENT = "names a feature that this proxy does not have"


@dataclass(frozen=True, slots=True)
class FeatureGate:
    """A known gate. `stage` is ALPHA, BETA or GA as of Kubernetes v1.36."""

    stage: str
    default: bool
    effect: Effect


_ON = FeatureGate("GA", True, Effect.ALWAYS_ON)

FEATURE_GATES: Mapping[str, FeatureGate] = {
    "AllAlpha": FeatureGate("ALPHA", False, Effect.HONOURED),
    "AllBeta": FeatureGate("BETA", False, Effect.HONOURED),
    "ComponentFlagz": FeatureGate("BETA", False, Effect.ABSENT),
    "ComponentStatusz": FeatureGate("BETA", False, Effect.ABSENT),
    "ContextualLogging": FeatureGate("BETA", True, Effect.ALWAYS_ON),
    "KubeProxyDrainingTerminatingNodes": _ON,
    "LoadBalancerIPMode": _ON,
    "LoggingAlphaOptions": FeatureGate("ALPHA", False, Effect.HONOURED),
    "LoggingBetaOptions": FeatureGate("BETA", True, Effect.HONOURED),
    "NFTablesProxyMode": _ON,
    "PreferSameTrafficDistribution": _ON,
    "ProxyTerminatingEndpoints": _ON,
    "ServiceInternalTrafficPolicy": _ON,
    "ServiceTrafficDistribution": _ON,
    "TopologyAwareHints": _ON,
    "WatchListClient": FeatureGate("BETA", True, Effect.HONOURED),
}


def enabled(gates: Mapping[str, bool], name: str) -> bool:
    """Whether a known feature is on: as set, or through AllAlpha and AllBeta, or by default.

    Raises:
        KeyError: the gate is not one of `FEATURE_GATES`.
    """
    gate = FEATURE_GATES[name]
    if gate.effect is not Effect.HONOURED:
        return gate.default
    by_stage = {"ALPHA": gates.get("AllAlpha"), "BETA": gates.get("AllBeta")}.get(gate.stage)
    return gates.get(name, gate.default if by_stage is None else by_stage)


def review(gates: Mapping[str, bool]) -> list[Problem]:
    """Return a warning for each gate whose setting has no effect."""
    warnings: list[Problem] = []
    for name, value in gates.items():
        gate = FEATURE_GATES.get(name)
        path = f"featureGates.{name}"
        if gate is None:
            near = suggestion(name, FEATURE_GATES)
            warnings.append(Problem(path, f"is not a feature gate of this proxy and has no effect{near}"))
        elif gate.effect is not Effect.HONOURED and value != gate.default:
            warnings.append(Problem(path, f"{gate.effect.value}; the setting has no effect"))
    return warnings
