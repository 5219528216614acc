"""Where results lie and how one is found: the working store first, then what is published.

Both hold the same files (`relstab.store.records`), `<root>/<scale>/<study>/<name>-<key>.json`, so that publishing
is copying, for every paper alike. A file is found by the key in its name; the rest is for readers.

>>> from relstab.store import shelves
>>> shelves.working().is_absolute()
True
"""

import functools
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

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


@dataclass(frozen=True)
class Shelf:
    """The files of one scale and study in one root, listed once and read when needed."""

    root: Path
    folder: Path

    @cached_property
    def paths(self) -> dict[str, list[Path]]:
        """Files by the key digits in their names; the rest of a name is for readers and may change."""
        paths = {}
        for path in sorted(self.folder.glob("*.json")):
            paths.setdefault(path.stem[-12:], []).append(path)
        return paths

    @cached_property
    def records(self) -> list[dict]:
        """Every whole record."""
        paths = [path for alike in self.paths.values() for path in alike]
        return [record for path in paths if (record := units.read(path, quiet=True)) is not None]


def catalogue():
    """A function from a config to its shelves, the working store's first; lists each folder once."""
    shelf = functools.cache(lambda root, scale, study: Shelf(root, root / scale / study))
    roots = [root for root in (working(), published()) if root is not None]
    return lambda config: [shelf(root, config.scale, config.study) for root in roots]


def find(config, shelves, *, quiet: bool = False) -> tuple[dict, Path] | None:
    """The config's record and its root, or None.

    Where the data are not on this machine their digest is unknown; then the newest result of the same study
    version and settings is taken, since a reader of the book need not own the images.
    """
    for shelf in shelves(config):
        if not shelf.paths:  # so a look at an empty store never opens a data set
            continue
        try:
            unit_key = records.key(config)
        except FileNotFoundError:
            alike = [record for record in shelf.records if same_settings(record, config)]
            alike = [record for record in alike if record["version"] == config.version]
            record = max(alike, key=lambda record: record["provenance"]["finished"], default=None)
        else:
            paths = shelf.paths.get(unit_key[:12], [])
            found = (units.read(path, unit_key, quiet=quiet) for path in paths)
            record = next((record for record in found if record is not None), None)
        if record is not None:
            return record, shelf.root
    return None


def same_settings(record: dict, config) -> bool:
    return record["config"] == records.fields(config)
