"""What the image is built from: locked, complete, and in the checkout."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement

from tests.deploy.rendering import CHECKOUT, DEPLOY

LOCK_AGAIN = "deploy/image/lock makes it anew"


def pins(name: str) -> dict[str, str]:
    """Packages of a lock file: each with its version and hashes, as written there."""
    text = (CHECKOUT / name).read_text(encoding="utf-8")
    found = re.findall(r"^([a-z0-9][a-z0-9.-]*)(==(?:[^\n]*\\\n)+[^\n]*)", text, re.MULTILINE)
    return {package: re.sub(r"[\s\\]+", " ", pin) for package, pin in found}


@pytest.mark.parametrize("name", ["runtime", "build"])
def test_the_image_has_the_versions_that_are_tested(name: str) -> None:
    locked = pins("requirements.lock")
    chosen = pins(f"deploy/image/{name}.lock")
    assert len(chosen) > 3
    assert {package for package, pin in chosen.items() if locked.get(package) != pin} == set(), LOCK_AGAIN


def test_the_image_has_all_that_the_commands_need() -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["tools"]]
    locked = pins("deploy/image/runtime.lock")
    seen: set[str] = set()
    while wanted:
        requirement = Requirement(wanted.pop())
        environment: dict[str, str] = {**default_environment(), "extra": ""}  # type: ignore[dict-item]
        name = requirement.name.lower().replace("_", "-")
        if name in seen or (requirement.marker and not requirement.marker.evaluate(environment)):
            continue
        seen.add(name)
        assert name in locked, LOCK_AGAIN
        try:
            wanted += requires(name) or []
        except PackageNotFoundError:
            pytest.fail(f"{name} is not installed here: make setup")


def test_the_base_and_its_parts_are_pinned() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG BASE=docker\.io/library/debian:[\w.-]+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE}"}
    assert (
        len(re.findall(r"--require-hashes[\s\\]+--requirement", text)) == len(re.findall(r"--requirement", text)) == 2
    )


def test_what_is_copied_is_there_and_let_through() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    sources = [
        source for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE) for source in line.split()[:-1]
    ]
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text(encoding="utf-8").split()
    assert sources
    for source in sources:
        assert (CHECKOUT / source).exists()
        assert any(source.startswith(line[1:]) for line in ignored if line.startswith("!")), source
