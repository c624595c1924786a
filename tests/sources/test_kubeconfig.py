"""What a kubeconfig may say, and what is said about one that is wrong."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kproxy.sources.errors import ConfigurationError
from kproxy.sources.kubeconfig import load_connection

from .kubeconfigs import write_kubeconfig
from .property_settings import patient

SERVER = "https://10.0.0.1:6443"


async def test_basic_authentication_and_token(tmp_path: Path) -> None:
    path = write_kubeconfig(
        tmp_path / "c", {"server": SERVER + "/k8s/x/"}, {"username": "ann", "password": "pass:word"}
    )
    connection = load_connection(path)
    assert connection.server == SERVER + "/k8s/x"
    assert (await connection.credentials.current()).authorization == "Basic YW5uOnBhc3M6d29yZA=="
    path = write_kubeconfig(tmp_path / "c", {"server": SERVER}, {"token": "abc"})
    assert (await load_connection(path).credentials.current()).authorization == "Bearer abc"


async def test_token_file_comes_before_the_token_once_it_can_be_read(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "c", {"server": SERVER}, {"token": "inline", "tokenFile": "token"})
    credentials = load_connection(path).credentials
    assert (await credentials.current()).authorization == "Bearer inline"
    (tmp_path / "token").write_text("file\n")
    assert (await credentials.current()).authorization == "Bearer file"
    (tmp_path / "token").unlink()
    assert (await credentials.current()).authorization == "Bearer file"


def test_secrets_do_not_show(tmp_path: Path) -> None:
    user = {"token": "s3cret-token"}
    connection = load_connection(write_kubeconfig(tmp_path / "c", {"server": SERVER}, user))
    assert "s3cret" not in repr(connection)


async def test_secrets_do_not_show_in_a_credential(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "c", {"server": SERVER}, {"token": "s3cret-token"})
    assert "s3cret" not in repr(await load_connection(path).credentials.current())


@pytest.mark.parametrize(
    ("cluster", "user", "problem"),
    [
        ({}, {}, r"clusters\[here\].cluster.server is missing"),
        ({"server": "ftp://x"}, {}, r"clusters\[here\].cluster.server must be an http or https URL"),
        ({"server": "https://x:port"}, {}, r"clusters\[here\].cluster.server is not a URL"),
        ({"server": ["x"]}, {}, r"Expected `str`, got `array` - at `\$.clusters\[0\].cluster.server`"),
        (
            {"certificate-authority-data": "%%%"},
            {},
            r"clusters\[here\].cluster.certificate-authority-data is not base64",
        ),
        (
            {"insecure-skip-tls-verify": True, "certificate-authority": "x"},
            {},
            r"clusters\[here\].cluster.insecure-skip-tls-verify contradicts",
        ),
        ({"proxy-url": "socks5://x"}, {}, r"clusters\[here\].cluster.proxy-url must be"),
        ({}, {"client-certificate": "x"}, r"users\[me\].user client-certificate and client-key are needed together"),
        ({}, {"token": "x", "username": "y"}, r"users\[me\].user.username contradicts token"),
        ({}, {"auth-provider": {"name": "gcp"}}, r"users\[me\].user.auth-provider was removed"),
        ({}, {"as": "root"}, r"users\[me\].user.as is not supported"),
        ({}, {"exec": {"apiVersion": "v1", "command": "x"}}, r"users\[me\].user.exec.apiVersion is 'v1', supported"),
        (
            {},
            {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x"}},
            r"users\[me\].user.exec.interactiveMode",
        ),
        (
            {},
            {"token": "t", "exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "x"}},
            r"users\[me\].user.exec contradicts",
        ),
    ],
)
def test_problems_name_file_and_field(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], problem: str
) -> None:
    complete = ({"server": SERVER} if "missing" not in problem or cluster else {}) | cluster
    path = write_kubeconfig(tmp_path / "c", complete, user)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        load_connection(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "line 2, column 1"),
        ("- a", "Expected `object`, got `array`"),
        ("", "got `null`"),
        ("clusters: []", "current-context is missing"),
        ("current-context: x", "current-context names x, which is not among the contexts"),
        (
            "{current-context: x, contexts: [{name: x, context: {cluster: y}}]}",
            r"contexts\[x\].context.cluster names y, which is not among the clusters",
        ),
        (
            (
                "{current-context: x, clusters: [{name: y, cluster: {}}],"
                " contexts: [{name: x, context: {cluster: y, user: z}}]}"
            ),
            r"contexts\[x\].context.user names z, which is not among the users",
        ),
    ],
)
def test_broken_files(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "c"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=problem):
        load_connection(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere: No such file or directory"):
        load_connection(tmp_path / "nowhere")


def test_master_replaces_the_server(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "c", {"server": SERVER, "insecure-skip-tls-verify": True}, {"token": "x"})
    assert load_connection(path, master="10.9.9.9:6443").server == "https://10.9.9.9:6443"
    assert load_connection(master="127.0.0.1:8080").server == "http://127.0.0.1:8080"


async def test_service_account_of_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("token", "namespace", "ca.crt"):
        (tmp_path / name).write_text(name)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    connection = load_connection(service_account=tmp_path)
    assert connection.server == "https://[fd00::1]:443"
    assert connection.trust.authority is not None
    assert connection.trust.authority.read() == b"ca.crt"
    (tmp_path / "token").write_text("rotated")
    assert (await connection.credentials.current()).authorization == "Bearer rotated"
    with pytest.raises(ConfigurationError, match="service account"):
        load_connection(service_account=tmp_path / "nowhere")
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT")
    with pytest.raises(ConfigurationError, match="KUBERNETES_SERVICE_PORT is not set"):
        load_connection(service_account=tmp_path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "cluster", "server"]), inner),
    max_leaves=8,
)


@settings(patient, max_examples=60)
@given(
    st.dictionaries(st.sampled_from(["clusters", "contexts", "users", "current-context"]), values)
    | st.binary(max_size=60)
)
def test_anything_else_is_a_clear_error(tmp_path: Path, content: dict[str, Any] | bytes) -> None:
    path = tmp_path / "c"
    path.write_bytes(content if isinstance(content, bytes) else yaml.safe_dump(content).encode())
    with pytest.raises(ConfigurationError):
        load_connection(path)
