"""Keeps secrets out of the log, whoever put them into a message: a second line of defence."""

import re

_HIDDEN = "[redacted]"
_PATTERNS = (
    # a private key in PEM, with line breaks or with their escapes, complete or cut off
    r"-----BEGIN (?P<kind>[A-Z ]*PRIVATE KEY)-----.*?(?:-----END (?P=kind)-----|\Z)",
    # an Authorization header's value
    r"(?P<scheme>\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{4,}",
    # a JSON Web Token, as service accounts have
    r"\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",
    # a URL's password
    r"(?P<user>://[^\s/:@]+:)[^\s/@]+(?=@)",
    # a value in JSON or a query; a mere colon also follows the names of objects
    r"(?P<name>(?:token|password|passwd|secret|key[-_]?data)(?:[\"']\s*:|\s*=)\s*[\"']?)[^\s\"',;&}\]]+",
    # a kubeconfig's client key in YAML
    r"(?P<field>\bclient-key-data:\s*)\S+",
)
_SECRETS = re.compile("|".join(_PATTERNS), re.DOTALL | re.IGNORECASE)
_SUSPICIOUS = re.compile(r"private|bearer|basic|eyJ|@|token|passw|secret|data", re.IGNORECASE)
"""What each of them contains; most lines hold none of it."""


def redacted(text: str) -> str:
    """The text without bearer tokens, passwords and private keys."""
    return _SECRETS.sub(_hide, text) if _SUSPICIOUS.search(text) else text


def _hide(found: re.Match[str]) -> str:
    kept = (found[group] for group in ("scheme", "user", "name", "field"))
    return "".join(filter(None, kept)) + _HIDDEN
