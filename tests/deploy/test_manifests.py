"""What kustomize and the chart make: the same, fit for the API, and no more privileged than the mode needs."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from lightkube.models import apps_v1, core_v1, rbac_v1

from kproxy.apiserver.resources import Resource
from kproxy.apiserver.schema import conform
from kproxy.config import parse_command_line
from tests.deploy.rendering import KUSTOMIZE, MODES, Manifest, Manifests, Renderer, RenderingError, container, pod_spec

KINDS: dict[str, tuple[str, str, type[msgspec.Struct]]] = {
    "DaemonSet": ("apps", "v1", apps_v1.DaemonSet),
    "ServiceAccount": ("", "v1", core_v1.ServiceAccount),
    "ConfigMap": ("", "v1", core_v1.ConfigMap),
    "ClusterRole": ("rbac.authorization.k8s.io", "v1", rbac_v1.ClusterRole),
    "ClusterRoleBinding": ("rbac.authorization.k8s.io", "v1", rbac_v1.ClusterRoleBinding),
}
CONFIG = {"clusterCIDR": "10.244.0.0/16"}
IMAGE = {"repository": "registry.example/kproxy"}


def problems(manifest: Manifest) -> list[str]:
    """What the API would refuse in an object: unknown and mistyped fields, missing ones."""
    group, version, model = KINDS[manifest["kind"]]
    if manifest["apiVersion"] != (f"{group}/{version}" if group else version):
        return [f"apiVersion {manifest['apiVersion']}"]
    name = f"{model.__module__.rpartition('.')[2]}.{model.__name__}"
    _, issues = conform(Resource(group, version, manifest["kind"], "", name), manifest)
    found = [*issues.unknown, *issues.mistyped]
    try:
        msgspec.convert(manifest, model)
    except msgspec.ValidationError as error:
        found.append(str(error))
    return found


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def overlay(render: Renderer, mode: str) -> Manifests:
    return render.kustomize(KUSTOMIZE / "overlays" / mode)


def test_the_api_takes_every_object(overlay: Manifests, render: Renderer, mode: str) -> None:
    chart = render.helm(mode, podAnnotations={"note": "text"}, image={**IMAGE, "pullSecrets": [{"name": "secret"}]})
    for manifests in (overlay, chart):
        assert [problem for manifest in manifests.values() for problem in problems(manifest)] == []


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        (("hostnetwork",), True, "spec.template.spec.hostnetwork"),
        (("hostNetwork",), "yes", "cannot read string in the field spec.template.spec.hostNetwork of type boolean"),
        (("containers", 0, "name"), None, "Object missing required field `name`"),
    ],
)
def test_the_check_finds_what_the_api_would(
    render: Renderer, path: tuple[str | int, ...], value: object, problem: str
) -> None:
    spoilt = deepcopy(render.helm()["DaemonSet/kproxy"])
    place: Any = spoilt["spec"]["template"]["spec"]
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    assert any(problem in found for found in problems(spoilt))


def test_the_chart_makes_what_kustomize_makes(overlay: Manifests, render: Renderer, mode: str) -> None:
    chart = dict(render.helm(mode))
    del chart["ConfigMap/kproxy-api-server"]
    assert comparable(chart) == comparable(overlay)


def test_a_clusters_settings_are_the_same_in_both(render: Renderer) -> None:
    example = render.kustomize(KUSTOMIZE / "cluster-example")
    chart = render.helm("nftables", config=CONFIG, image=IMAGE)
    assert comparable(chart) == comparable(example)
    assert container(chart)["image"] == "registry.example/kproxy:0.1.0"
    assert example["ConfigMap/kproxy-api-server"]["data"] == {
        "KUBERNETES_SERVICE_HOST": "192.0.2.10",
        "KUBERNETES_SERVICE_PORT": "6443",
    }


def comparable(manifests: Manifests) -> dict[str, Any]:
    """Without what makes no difference: the order of named things, how YAML is written, a default spelt out."""
    made: dict[str, Any] = deepcopy(dict(manifests))
    config = made["ConfigMap/kproxy"]["data"]
    config["config.conf"] = yaml.safe_load(config["config.conf"])
    spec = pod_spec(made)
    spec["volumes"].sort(key=lambda volume: volume["name"])
    for each in (*spec["containers"], *spec["initContainers"]):
        each["volumeMounts"].sort(key=lambda mount: mount["name"])
        assert each.pop("imagePullPolicy", "IfNotPresent") == "IfNotPresent"
    return made


def test_the_configuration_is_valid_and_of_the_mode(overlay: Manifests, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "config.conf"
    path.write_text(overlay["ConfigMap/kproxy"]["data"]["config.conf"], encoding="utf-8")
    (argument, override) = container(overlay)["args"]
    assert argument == "--config=/var/lib/kube-proxy/config.conf"
    command = parse_command_line([f"--config={path}", override.replace("$(NODE_NAME)", "node-1")])
    assert command.configuration.mode == mode
    assert command.configuration.hostname_override == "node-1"


def test_the_proxy_has_no_more_privileges_than_the_mode_needs(overlay: Manifests, mode: str) -> None:
    context = container(overlay)["securityContext"]
    assert context["capabilities"]["drop"] == ["ALL"]
    assert context["readOnlyRootFilesystem"]
    assert "privileged" not in context
    paths = {volume["hostPath"]["path"] for volume in pod_spec(overlay)["volumes"] if "hostPath" in volume}
    if mode in {"iptables", "ipvs"}:
        assert context["runAsUser"] == 0
        assert context["capabilities"]["add"] == ["NET_ADMIN", "NET_RAW"]
        assert not context["allowPrivilegeEscalation"]
        assert paths == {"/lib/modules", "/run/xtables.lock"}
    else:
        assert context["runAsNonRoot"]
        assert context["runAsUser"] == 65532
        assert context["capabilities"]["add"] == ["NET_ADMIN"]
        assert paths == {"/lib/modules"}


def test_it_runs_on_every_node_before_and_after_everything_else(overlay: Manifests) -> None:
    spec = pod_spec(overlay)
    assert spec["hostNetwork"]
    assert spec["priorityClassName"] == "system-node-critical"
    assert spec["tolerations"] == [{"operator": "Exists"}]
    probes = {name: container(overlay)[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: probe["path"] for name, probe in probes.items()} == {
        "startup": "/healthz",
        "liveness": "/livez",
        "readiness": "/healthz",
    }
    ports = {port["name"]: port["containerPort"] for port in container(overlay)["ports"]}
    assert {ports[probe["port"]] for probe in probes.values()} == {10256}


def test_everything_is_named_after_the_proxy_in_its_namespace(overlay: Manifests) -> None:
    assert overlay.keys() == {f"{kind}/kproxy" for kind in KINDS}
    for manifest in overlay.values():
        if not manifest["kind"].startswith("ClusterRole"):
            assert manifest["metadata"]["namespace"] == "kube-system"
    (subject,) = overlay["ClusterRoleBinding/kproxy"]["subjects"]
    assert subject == {"kind": "ServiceAccount", "name": "kproxy", "namespace": "kube-system"}


def test_it_can_be_kept_to_labelled_nodes(render: Renderer, tmp_path: Path) -> None:
    relative = Path("../" * len(tmp_path.parents)) / str(KUSTOMIZE)[1:]
    tmp_path.joinpath("kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "kustomize.config.k8s.io/v1beta1",
                "kind": "Kustomization",
                "resources": [f"{relative}/overlays/nftables"],
                "components": [f"{relative}/components/labelled-nodes"],
            }
        )
    )
    labels = {"kubernetes.io/os": "linux", "kproxy/node": "true"}
    assert pod_spec(render.kustomize(tmp_path))["nodeSelector"] == labels
    assert pod_spec(render.helm(nodeSelector={"kproxy/node": "true"}))["nodeSelector"] == labels


def test_the_chart_can_do_without_the_init_container(render: Renderer) -> None:
    assert "initContainers" not in pod_spec(render.helm(init={"enabled": False}))


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"apiServer": {"host": ""}}, "/apiServer/host"),
        ({"apiServer": {"host": "192.0.2.10", "port": 0}}, "/apiServer/port"),
        ({"mode": "ebpf"}, "/mode"),
        ({"config": {"mode": "ipvs"}}, "/config/mode"),
        ({"images": {}}, "images"),
        ({"maxUnavailable": "0%"}, "/maxUnavailable"),
    ],
)
def test_the_chart_refuses_values_that_cannot_be_meant(
    render: Renderer, values: dict[str, object], refusal: str
) -> None:
    with pytest.raises(RenderingError, match=refusal):
        render.helm(**{"mode": "nftables", **values})  # type: ignore[arg-type]


def test_the_chart_joins_a_digest_with_an_at_sign(render: Renderer) -> None:
    made = container(render.helm(image={**IMAGE, "tag": f"sha256:{'0' * 64}"}))
    assert made["image"] == f"registry.example/kproxy@sha256:{'0' * 64}"


def test_helm_has_nothing_to_say_about_the_chart(render: Renderer) -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in render.lint()
