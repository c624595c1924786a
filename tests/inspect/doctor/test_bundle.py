"""What the bundle holds, and what it must never hold."""

import base64
import json
import re
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kproxy.inspect.doctor.bundle import write_bundle
from kproxy.inspect.doctor.checks.registry import CHECKS
from kproxy.inspect.doctor.examination import examine
from kproxy.inspect.doctor.redaction import REDACTED, redact, secrets_of
from tests.inspect.doctor.patient import Patient, proxy, run

JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (b'{"alg":"RS256"}', b'{"sub":"system:x"}', b"s" * 40)
)
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabcdef\n-----END RSA PRIVATE KEY-----"
PASSWORD = "correct-horse-battery"
BOOTSTRAP = "abcdef.0123456789abcdef"
SECRETS = (JWT, "MIIEpAIBAAKCAQEA7", PASSWORD, BOOTSTRAP)


@pytest.mark.root
async def test_secrets_never_leave(patient: Patient, tmp_path: Path) -> None:
    patient.store.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": "default"},
            "data": {"password": base64.b64encode(PASSWORD.encode()).decode()},
        }
    )
    made = patient.service()
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps({"token": JWT}), "aws/key": PASSWORD}
    patient.store.apply({**made, "metadata": {**made["metadata"], "annotations": annotations}})
    patient.slice("web", "10.244.1.1")
    # What somebody may have typed into a rule's comment, and what a proxy may show of itself.
    run(
        "iptables-legacy",
        "-t",
        "nat",
        "-A",
        "OUTPUT",
        "-m",
        "comment",
        "--comment",
        f"password={PASSWORD}",
        "-j",
        "RETURN",
    )
    run("nft", f'table inet t {{ comment "{BOOTSTRAP}"; }}')
    where = patient.where()
    kubeconfig = tmp_path / "kubeconfig"
    document = json.loads(kubeconfig.read_text())
    (tmp_path / "token").write_text(JWT)
    (tmp_path / "key.pem").write_text(KEY)
    document["users"] = [
        {
            "name": "u",
            "user": {
                "token": JWT,
                "password": PASSWORD,
                "client-key": str(tmp_path / "key.pem"),
                "client-key-data": base64.b64encode(KEY.encode()).decode(),
            },
        }
    ]
    secrets = tmp_path / "with-secrets"
    secrets.write_text(json.dumps(document))
    metrics = f'x_total{{header="Bearer {JWT}",url="https://u:{PASSWORD}@host/"}} 1\n'
    async with proxy("nftables", metrics):
        from kproxy.inspect.doctor.view import look

        view = await look(where)
    examination = await examine(view, CHECKS)
    path = tmp_path / "out.tgz"
    names = await write_bundle(path, view, examination, secrets_of(secrets))
    assert {
        "doctor.json",
        "rules/nft.txt",
        "rules/iptables-legacy.txt",
        "proxy/metrics.txt",
        "sysctls.txt",
        "versions/kproxy.txt",
        "configuration.yaml",
        "objects/services.json",
    } <= set(names)
    assert path.stat().st_mode & 0o777 == 0o600
    with tarfile.open(path) as archive:
        texts = {entry.name: archive.extractfile(entry).read().decode() for entry in archive}  # type: ignore[union-attr]
    for secret in (*SECRETS, base64.b64encode(PASSWORD.encode()).decode(), base64.b64encode(KEY.encode()).decode()):
        assert not [name for name, text in texts.items() if secret in text], secret
    metrics_file = next(text for name, text in texts.items() if name.endswith("metrics.txt"))
    assert REDACTED in metrics_file
    services = next(text for name, text in texts.items() if name.endswith("services.json"))
    assert "10.96.0.10" in services
    assert "annotations" not in services
    assert "KUBE" not in services


def test_secrets_in_a_kubeconfig_and_in_files_that_it_names(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(JWT + "\n")
    config = tmp_path / "c"
    config.write_text(
        json.dumps({"users": [{"name": "a", "user": {"tokenFile": str(tmp_path / "t"), "password": PASSWORD}}]})
    )
    assert {JWT, PASSWORD} <= secrets_of(config)
    assert secrets_of(tmp_path / "nosuch") == set()
    config.write_text("users: [")
    assert secrets_of(config) == set()


@given(
    st.sampled_from(
        [
            f"Authorization: Bearer {JWT}",
            f"token: {JWT}",
            f'"password": "{PASSWORD}"',
            f"--token={BOOTSTRAP}",
            KEY,
            KEY[:60],
            f"https://admin:{PASSWORD}@10.0.0.1/",
            f"client-key-data: {base64.b64encode(KEY.encode()).decode()}",
        ]
    ),
    st.text(st.characters(codec="ascii"), max_size=30),
)
def test_secrets_are_found_wherever_they_stand(secret: str, around: str) -> None:
    cleaned = redact(f"{around}\n{secret}\n{around}")
    for word in (*SECRETS, base64.b64encode(KEY.encode()).decode()):
        assert word not in cleaned.replace(around, "")


def test_rules_are_left_as_they_are() -> None:
    text = "-A KUBE-SVC-4HWD6WD2BXF6N7ZC -m statistic --probability 0.50000000000 -j KUBE-SEP-ZX7I5F274AVUQOWH\n"
    assert redact(text) == text
    assert not re.search("redacted", redact("10.96.0.10 . tcp . 80 : goto service-A5I2R4WK-default/cluster/tcp/p80"))
