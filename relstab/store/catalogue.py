"""Where results lie and how one is found: the working store first, then what is published.

Both hold the same files (`relstab.store.records`), `<root>/<scale>/<study>/<name>-<key>.json`, so that publishing
is copying, for every paper alike. A file is found by the key in its name; the rest is for readers.

>>> working().is_absolute(), [folder.root == working() for folder in Catalogue().folders("laptop", "zoo")][0]
(True, True)
"""

import functools
import os
from pathlib import Path
from typing import Any

from relstab.store import environment, records, units
from relstab.store.origin import PACKAGE


def _checkout() -> Path | None:
    return PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").exists() else None


def working(project: Path | None = None) -> Path:
    """Root of the working store: RELSTAB_STORE, else build/store in the project (the checkout, or here outside one)."""
    return environment.folder("RELSTAB_STORE", (project or _checkout() or Path.cwd()) / "build" / "store")


def published(project: Path | None = None) -> Path | None:
    """Root of the published results: RELSTAB_RESULTS, else results/ in the project (the checkout); None outside one."""
    project = project or _checkout()
    return environment.folder("RELSTAB_RESULTS", project and project / "results")


class Folder:
    """The files of one scale and study in one root, listed once and read when needed."""

    def __init__(self, root: Path, scale: str, study: str):
        self.root, self.path = root, root / scale / study

    @functools.cached_property
    def files(self) -> dict[str, list[Path]]:
        """Files by the key digits in their names; the rest of a name is for readers and may change."""
        files = {}
        for path in sorted(self.path.glob("*.json")):
            files.setdefault(path.stem[-12:], []).append(path)
        return files

    @functools.cached_property
    def records(self) -> list[dict]:
        """Every whole record."""
        paths = [path for alike in self.files.values() for path in alike]
        return [record for path in paths if (record := units.read(path, quiet=True)) is not None]

    def alike(self, config: Any) -> list[dict]:
        """The records with the config's settings, of whatever version and data."""
        settings = records.fields(config)
        return [record for record in self.records if record["config"] == settings]


def state(scale: str, study: str) -> tuple:
    """What the rows of a study are read from, as it is now: as long as this is the same, so are they."""
    roots = [working(), published()]
    paths = sorted(path for root in roots if root is not None for path in (root / scale / study).glob("*.json"))
    files = [(str(path), found.st_size, found.st_mtime_ns) for path in paths if (found := _stat(path)) is not None]
    return (environment.folder("RELSTAB_DATA"), *files)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:  # replaced or removed meanwhile
        return None


class Catalogue:
    """The folders of both roots as they are now: each is listed once, so make one for a command, not for a process."""

    def __init__(self):
        self._roots = [root for root in (working(), published()) if root is not None]
        self.folders = functools.cache(self._folders)

    def _folders(self, scale: str, study: str) -> list[Folder]:
        """Where results of a study lie, the working store's first."""
        return [Folder(root, scale, study) for root in self._roots]

    def find(self, config: Any, *, quiet: bool = False) -> tuple[dict, Path] | None:
        """The config's record and its root, or None.

        Where the data are not on this machine their digest is unknown; then the newest result of the same study
        version and settings is taken, since a reader of the book need not own the images.
        """
        for folder in self.folders(config.scale, config.study):
            if not folder.files:  # so a look at an empty store never opens a data set
                continue
            try:
                unit_key = records.key(config)
            except FileNotFoundError:
                alike = [record for record in folder.alike(config) if record["version"] == config.version]
                record = max(alike, key=lambda record: record["provenance"]["finished"], default=None)
            else:
                paths = folder.files.get(unit_key[:12], [])
                found = (units.read(path, unit_key, quiet=quiet) for path in paths)
                record = next((record for record in found if record is not None), None)
            if record is not None:
                return record, folder.root
        return None
