"""Objects out of manifest files: YAML of several documents, JSON, and Lists."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kproxy.apiserver.errors import ApiError, Json
from kproxy.apiserver.store import Store
from kproxy.apiserver.yaml_documents import load_documents

SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a folder: how many objects are in the store, and one line for each that is not."""

    count: int
    problems: list[str]


def load_manifests(store: Store, path: Path) -> Loaded:
    """Apply all manifests of a folder (its own files only, by name) or of one file; raises `OSError` when it
    cannot be read. What is wrong with one object or file keeps none of the others out.
    """
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES) if path.is_dir() else [path]
    count, problems = 0, []
    for file in files:
        try:
            documents = list(load_documents(file.read_bytes()))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            problems.append(f"{file}: {error}")
            continue
        for obj in _objects(documents):
            try:
                store.apply(obj)
                count += 1
            except ApiError as error:
                problems.append(f"{file}: {_name(obj)}: {error}")
    return Loaded(count, problems)


def _objects(documents: list[Any]) -> Iterator[Json]:
    for document in documents:
        if isinstance(document, dict) and str(document.get("kind", "")).endswith("List"):
            yield from _objects(document.get("items") or [])
        else:
            yield document if isinstance(document, dict) else {}


def _name(obj: Json) -> str:
    meta = obj.get("metadata")
    name = meta.get("name", "?") if isinstance(meta, dict) else "?"
    return f"{obj.get('kind', 'not an object')} {name}"
