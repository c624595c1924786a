"""The rules, by promtool: they load, and each alert fires when it should, and only then."""

import re
from pathlib import Path

import pytest
import yaml

from kproxy.monitoring.recordings import WINDOWS, slow_ratio
from kproxy.monitoring.rule_file import rule_file, to_yaml
from kproxy.monitoring.settings import PROGRAMMING_BOUNDS, Settings, SettingsError
from kproxy.node.metrics import Metrics
from tests.monitoring.conftest import DEPLOYED, Tools
from tests.monitoring.metric_names import OF_OTHERS, asked_for, there_are

UNIT_TESTS = sorted((Path(__file__).parent / "promtool").glob("*.yaml"))
RULES = rule_file(Settings())


def test_prometheus_takes_the_rules(tools: Tools) -> None:
    status, printed = tools.promtool("check", "rules", "--lint-fatal", str(DEPLOYED / "rules.yaml"))
    assert status == 0, printed
    assert f"{len(RULES.alerts()) + len(RULES.recordings())} rules found" in printed


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should(tools: Tools, path: Path) -> None:
    status, printed = tools.promtool("test", "rules", str(path))
    assert status == 0, printed


def test_what_the_documentation_says_of_other_expressions(tools: Tools) -> None:
    status, printed = tools.promtool("test", "rules", str(Path(__file__).with_name("claims.yaml")))
    assert status == 0, printed


def test_a_unit_test_can_fail(tools: Tools, tmp_path: Path) -> None:
    (test,) = [path for path in UNIT_TESTS if path.stem == "services"]
    text = test.read_text().replace("../../../deploy/monitoring/rules.yaml", "rules.yaml")
    (tmp_path / "services.yaml").write_text(text)
    rules = (DEPLOYED / "rules.yaml").read_text()
    (tmp_path / "rules.yaml").write_text(re.sub(r"(kproxy_services_left_out\{.*\}) > 0", r"\1 > 9", rules))
    status, printed = tools.promtool("test", "rules", str(tmp_path / "services.yaml"))
    assert status != 0
    assert 'alertname="KubeProxyServicesLeftOut"' in printed


def test_each_alert_is_seen_firing_and_silent() -> None:
    """A test's name begins with its alert; what fires at each time is compared as a whole."""
    fires: set[str] = set()
    silent: set[str] = set()
    for path in UNIT_TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            alert = case["name"].partition(":")[0]
            looks = [look for look in case["promql_expr_test"] if look["expr"] == 'ALERTS{alertstate="firing"}']
            assert looks, case["name"]
            seen = [f'alertname="{alert}"' in str(look["exp_samples"]) for look in looks]
            (fires if any(seen) else silent).add(alert)
    assert fires == silent == {alert.alert for alert in RULES.alerts()}


def test_expressions_ask_for_metrics_that_there_are() -> None:
    recorded = {recording.record for recording in RULES.recordings()}
    for rule in [rule for group in RULES.groups for rule in group.rules]:
        names = asked_for(rule.expr)
        assert names | set(re.findall(r"kube_proxy:[\w:]+", rule.expr)), rule.expr
        assert names - OF_OTHERS <= there_are(), rule.expr
        assert set(re.findall(r"kube_proxy:[\w:]+", rule.expr)) <= recorded, rule.expr


def test_alerts_tell_where() -> None:
    of_no_node = {alert.alert for alert in RULES.alerts() if "$labels.instance" not in alert.annotations.description}
    assert of_no_node == {
        "KubeProxyAbsent",
        "KubeProxyMissingOnNodes",
        "KubeProxyEndpointChangesHigh",
        "KubeProxyProgrammingErrorBudgetBurn",
    }


def test_the_objective_can_be_chosen(tools: Tools, tmp_path: Path) -> None:
    made = rule_file(Settings(job="proxies", objective=0.999, within=0.5).checked())
    (tmp_path / "rules.yaml").write_text(to_yaml(made))
    status, printed = tools.promtool("check", "rules", str(tmp_path / "rules.yaml"))
    assert status == 0, printed
    fast, *_ = [alert for alert in made.alerts() if "Budget" in alert.alert]
    assert f"{slow_ratio('1h')} > 0.0144" in fast.expr
    assert all('job=~"proxies"' in rule.expr for rule in made.recordings()[:4])
    assert 'le="0.5"' in made.recordings()[6].expr
    assert len(WINDOWS) == sum("ratio" in rule.record and "slow" in rule.record for rule in made.recordings())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (Settings(objective=1), "objective 1: must be at least 0.94 and less than 1"),
        (Settings(objective=0.5), "objective 0.5"),
        (Settings(objective=float("nan")), "objective nan"),
        (Settings(within=0.3), "the nearest is 0.25"),
        (Settings(within=62), "the nearest is 60"),
        (Settings(job='a"} or vector(1) #'), "must be names or a simple regular expression"),
        (Settings(job="a\nb"), "must be names"),
        (Settings(job="(a"), "is no regular expression"),
        (Settings(job=""), "must be names"),
    ],
)
def test_settings_that_cannot_be_meant(settings: Settings, problem: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(problem)):
        settings.checked()


def test_the_bounds_are_the_histograms() -> None:
    metrics = Metrics()
    metrics.programming_duration.labels("IPv4")
    (family,) = metrics.programming_duration.collect()
    bounds = {float(s.labels["le"]) for s in family.samples if s.name.endswith("_bucket")}
    assert bounds == PROGRAMMING_BOUNDS | {float("inf")}
