"""A short-lived Pod that loads a node's kernel modules: what it is allowed, and what became of it.

It has what modprobe(8) needs and no more: the capability SYS_MODULE, the node's module tree to read, and the folder of
lists for the boot to write (modules-load.d(5)).
"""

import math
import secrets
from collections.abc import Sequence
from pathlib import PurePath

from kproxy.switch.cluster_client import Json
from kproxy.switch.cluster_objects import Place
from kproxy.switch.modules import FILE, FOLDER, HEAD

LABEL = "kproxy/loads-modules-of"
"""The label by which these Pods are found again; its value is the DaemonSet."""
CONTAINER = "modprobe"
_MODULES = "/lib/modules"
_PROXIES = ("kube-proxy", "kproxy")
_MOST_WORDS = 300
"""Characters of an explanation that are repeated; it comes from a node."""
_RESOURCES = {"cpu": "10m", "memory": "32Mi"}
_DELETION_SECONDS = 1

# Only what sh(1) can do by itself, and modprobe(8): kube-proxy's image has little else.
_SCRIPT = """\
file=$1 head=$2 listed= failed=0
shift 2
for module do
    if words=$(modprobe -- "$module" 2>&1) || [ -d "/sys/module/$module" ]; then
        # What is built into the kernel has no file to load at boot; systemd would complain.
        [ ! -e "/sys/module/$module/initstate" ] || listed="$listed$module
"
    else
        failed=1
        echo "$module: $words" >&2
    fi
done
[ "$failed" -eq 0 ] || exit 1
[ -z "$listed" ] || printf '%s%s' "$head" "$listed" >"$file"
"""


def image_of(daemon_set: Json) -> str:
    """The proxy's image, which its nodes have already; empty when the DaemonSet names none."""
    containers = _pod_spec(daemon_set).get("containers") or []
    found = next((each for each in containers if _runs_a_proxy(each)), containers[0] if containers else {})
    return str(found.get("image") or "")


def _runs_a_proxy(container: Json) -> bool:
    return PurePath(str(next(iter(container.get("command") or ()), ""))).name in _PROXIES


def module_pod(
    place: Place, daemon_set: Json, node: str, image: str, mode: str, modules: Sequence[str], patience: float
) -> Json:
    """The Pod.

    Args:
        place: where the proxy is; the Pod is beside it
        daemon_set: the proxy's; tells how its image may be pulled
        node: which the Pod is bound to, whatever its taints are
        image: has sh(1) and modprobe(8)
        mode: what the modules are for
        modules: their names
        patience: seconds after which the kubelet ends it
    """
    folders = {"modules": (_MODULES, "", True), "lists": (str(FOLDER), "DirectoryOrCreate", False)}
    container = {
        "name": CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _SCRIPT, CONTAINER, str(FOLDER / FILE), HEAD.format(mode=mode), *modules],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["SYS_MODULE"]},
            "seccompProfile": {"type": "RuntimeDefault"},
            # A container's usual domain may neither load modules nor write below /etc.
            "seLinuxOptions": {"type": "spc_t"},
        },
        "resources": {"requests": _RESOURCES, "limits": _RESOURCES},
        "volumeMounts": [
            {"name": name, "mountPath": path, "readOnly": read_only} for name, (path, _, read_only) in folders.items()
        ],
    }
    spec = {
        "nodeName": node,
        "tolerations": [{"operator": "Exists"}],
        "restartPolicy": "Never",
        "activeDeadlineSeconds": math.ceil(patience),
        "terminationGracePeriodSeconds": _DELETION_SECONDS,
        # As the proxy itself: it must work where the network plugin does not, or has no address left.
        "hostNetwork": True,
        "dnsPolicy": "Default",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "imagePullSecrets": _pod_spec(daemon_set).get("imagePullSecrets") or [],
        "containers": [container],
        "volumes": [
            {"name": name, "hostPath": {"path": path, "type": kind}} for name, (path, kind, _) in folders.items()
        ],
    }
    metadata = {
        "name": f"kproxy-modules-{secrets.token_hex(5)}",
        "namespace": place.namespace,
        "labels": {LABEL: place.daemon_set},
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _pod_spec(daemon_set: Json) -> Json:
    return (daemon_set["spec"].get("template") or {}).get("spec") or {}


def has_ended(pod: Json) -> bool:
    """Whether its container will not run any more."""
    return _status(pod).get("phase") in ("Succeeded", "Failed")


def complaint(pod: Json) -> str:
    """Why its work is not done, in words; empty when it is."""
    status = _status(pod)
    if status.get("phase") == "Succeeded":
        return ""
    container: Json = next(iter(status.get("containerStatuses") or ()), {})
    state = container.get("state") or {}
    ended, waiting = state.get("terminated") or {}, state.get("waiting") or {}
    exit_code = ended.get("exitCode")
    found = (
        ended.get("message"),
        f"exit status {exit_code}" if exit_code else "",
        " ".join(filter(None, (waiting.get("reason"), waiting.get("message")))),
        " ".join(filter(None, (status.get("reason"), status.get("message")))),
        f"the Pod is {status.get('phase') or 'not started'}",
    )
    return " ".join(str(next(filter(None, found))).split())[:_MOST_WORDS]


def _status(pod: Json) -> Json:
    return pod.get("status") or {}
