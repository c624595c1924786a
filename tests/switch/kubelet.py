"""A kubelet that runs containers: their command, in a root of its own, with the mounts and capabilities of the Pod."""

import asyncio
from pathlib import Path
from typing import Any

_TERMINATION_MESSAGE = 2048
"""Bytes of the log that become the message of a container that failed (FallbackToLogsOnError)."""
# This machine's files are the image, below a layer of the container's own. Arguments: a folder, what the bounding set
# is to be, the number of mounts, and of each the node's path, that in the container and its options; then the command.
_CONTAINER = """
folder=$1 capabilities=$2 mounts=$3
shift 3
mkdir -p "$folder"
mount -t tmpfs layer "$folder"
mkdir "$folder/files" "$folder/work" "$folder/root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/files,workdir=$folder/work" root "$folder/root"
mount --rbind /proc "$folder/root/proc"
mount --rbind /sys "$folder/root/sys"
while [ "$mounts" -gt 0 ]; do
    mkdir -p "$folder/root$2"
    mount --rbind "$1" "$folder/root$2"
    mount -o "remount,bind,$3" "$folder/root$2"
    mounts=$((mounts - 1))
    shift 3
done
mount -o remount,bind,ro "$folder/root"
exec chroot "$folder/root" setpriv --no-new-privs --inh-caps=-all --bounding-set="$capabilities" "$@"
"""
_MODPROBE = """#!/bin/sh
[ "$1" != -- ] || shift
complain() { echo "modprobe: $*" >&2; exit 1; }
[ -e "/lib/modules/$1.ko" ] || complain "FATAL: Module $1 not found in directory /lib/modules/6.1.0"
# All capabilities that the process has: CAP_SYS_MODULE, which is the 17th.
grep -q '^CapEff:.*0000000000010000$' /proc/self/status || complain "ERROR: could not insert '$1': Not permitted"
mkdir -p "/sys/module/$1"
echo live >"/sys/module/$1/initstate"
"""


class Kubelet:
    """Runs Pods of one container on a node that is a folder."""

    def __init__(self, folder: Path) -> None:
        """Make a node without kernel modules.

        Args:
            folder: where its files are, and the programs of its images' `/usr/local/sbin`
        """
        self.root = folder / "node"
        self._programs = folder / "programs"
        self._containers = folder / "containers"
        for path in ("lib/modules", "sys/module", "etc"):
            (self.root / path).mkdir(parents=True)
        self._programs.mkdir()
        modprobe = self._programs / "modprobe"
        modprobe.write_text(_MODPROBE)
        modprobe.chmod(0o755)

    def give_modules(self, *modules: str) -> None:
        """Have modules in the node's tree, for modprobe to load."""
        for module in modules:
            (self.root / f"lib/modules/{module}.ko").touch()

    @property
    def loaded(self) -> set[str]:
        return {path.parent.name for path in self.root.glob("sys/module/*/initstate")}

    async def run(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Run a Pod to its end; returns its status."""
        mounts = [
            *((str(self.root / "sys/module"), "/sys/module", "rw"), (str(self._programs), "/usr/local/sbin", "ro")),
            *host_paths(pod, self.root),
        ]
        return await run_container(pod, self._containers / pod["metadata"]["name"], mounts)


def host_paths(pod: dict[str, Any], root: Path) -> list[tuple[str, str, str]]:
    """The Pod's mounts: the path on the node whose files are below a folder, that in the container, and options."""
    paths = {volume["name"]: volume["hostPath"] for volume in pod["spec"]["volumes"]}
    found = []
    for mount in pod["spec"]["containers"][0]["volumeMounts"]:
        path = paths[mount["name"]]
        source = root / path["path"].lstrip("/")
        if path.get("type") == "DirectoryOrCreate":
            source.mkdir(parents=True, exist_ok=True)
        found.append((str(source), mount["mountPath"], "ro" if mount.get("readOnly") else "rw"))
    return found


async def run_container(pod: dict[str, Any], folder: Path, mounts: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Run a Pod's container as what its security context allows; returns the Pod's status."""
    container = pod["spec"]["containers"][0]
    allowed = container["securityContext"]["capabilities"]
    assert allowed["drop"] == ["ALL"]
    capabilities = ",".join(["-all", *(f"+{name.lower()}" for name in allowed["add"])])
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "--propagation", "private", "sh", "-ec", _CONTAINER, "container"),
        *(str(folder), capabilities, str(len(mounts)), *(word for mount in mounts for word in mount)),
        *container["command"],
        env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        log, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    ended = {"exitCode": process.returncode, "reason": "Error" if process.returncode else "Completed"}
    if process.returncode and container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
        ended["message"] = log.decode(errors="replace")[-_TERMINATION_MESSAGE:]
    state = {"name": container["name"], "state": {"terminated": ended}}
    return {"phase": "Failed" if process.returncode else "Succeeded", "containerStatuses": [state]}
