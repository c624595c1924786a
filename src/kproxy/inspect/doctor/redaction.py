"""Takes secrets out of text that leaves the node."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import yaml

from kproxy.sources.yaml_loading import load_yaml

REDACTED = "[redacted]"
_SHORTEST = 6
"""Characters of a secret that is looked for by value: shorter ones would be found everywhere."""
_WORDS = r"(?:token|password|passwd|secret|client-key-data|client-certificate-data|api[-_]?key|private[-_]?key)"
_PATTERNS = (
    # A private key in PEM (RFC 7468), also one whose end was cut off.
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    # A JSON Web Token (RFC 7519), as service accounts have.
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"),
    re.compile(r"(?i)(?<=bearer )\S+"),
    re.compile(r"(?i)(?<=basic )[A-Za-z0-9+/=]{8,}"),
    # Bootstrap tokens.
    re.compile(r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b"),
    # user:password@ in a URL.
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
)
_NAMED = re.compile(rf"(?i)([\w.-]*{_WORDS}[\w.-]*[\"']?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;}}]+)")
_SECRET_KEYS = re.compile(rf"(?i){_WORDS}")


def redact(text: str, known: Collection[str] = ()) -> str:
    """Replace secrets.

    Args:
        text: anything
        known: secrets by value, such as those that this program itself uses
    """
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, REDACTED)
    for pattern in _PATTERNS:
        text = pattern.sub(REDACTED, text)
    return _NAMED.sub(lambda found: found.group(1) + REDACTED, text)


def secrets_of(kubeconfig: Path | None) -> set[str]:
    """The values in a kubeconfig that are secret: tokens, keys, passwords; those in files that it names too."""
    if kubeconfig is None:
        return set()
    try:
        document = load_yaml(kubeconfig.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return set()
    users = document.get("users") if isinstance(document, dict) else None
    found = set(_values(users if isinstance(users, list) else []))
    for path in [Path(value) for value in found if value.startswith("/")]:
        try:
            found.add(path.read_text(encoding="utf-8").strip())
        except (OSError, ValueError):
            continue  # not there, or no text
    return found


def _values(tree: Any) -> Iterator[str]:
    """Every string below keys that name secrets, and every file beside them."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if isinstance(value, str) and (_SECRET_KEYS.search(str(key)) or str(key) in ("tokenFile", "client-key")):
                yield value
            else:
                yield from _values(value)
    elif isinstance(tree, list):
        for item in tree:
            yield from _values(item)
