"""Writes the lab's objects as YAML files, for a proxy that reads a folder and needs no API."""

from pathlib import Path

import yaml

from kproxy.lab.kubernetes_objects import Manifest


class ManifestFolder:
    """One file per object; each appears, changes and vanishes in one step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def apply(self, manifest: Manifest) -> None:
        """Write an object's file, or replace it."""
        # Readers watch for YAML: the name under which it is written must not end in it.
        draft = self._folder / "draft"
        draft.write_text(yaml.safe_dump(manifest))
        draft.rename(self._path(manifest))

    def delete(self, manifest: Manifest) -> None:
        """Remove an object's file.

        Raises:
            FileNotFoundError: it is not there.
        """
        self._path(manifest).unlink()

    def _path(self, manifest: Manifest) -> Path:
        return self._folder / f"{manifest['kind']}-{manifest['metadata']['name']}.yaml".lower()
