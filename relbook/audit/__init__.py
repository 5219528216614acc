"""Whether published rows are what today's code gives: definitions that changed since, and rows computed again.

`relstab status` tells the first in seconds, for all studies (all papers); `relstab study NAME --verify` does the
second, unit by unit.

>>> from relbook import audit
>>> audit.differences([{"R": 0.5, "layer": "output"}], [{"R": 0.25, "layer": "output"}])
[0.0, 0.5]
"""

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relbook import registry
from relbook.audit import changes
from relstab import store
from relstab.store import catalogue, numerics, origin, records, results, units

EXACT = 1e-4  # on one kind of processor, and everywhere for units that train nothing
TIMES = ("seconds", "images_per_second")
FLOOR = 0.02  # differences are relative to at least this: a D of 1e-6 may as well be zero


def changed(study: str, scale: str) -> dict[str, list[str]]:
    """Commit -> the definitions that units of the study reached there and that are others now; found units only.

    A commit that is not in the history here stands with "unknown code".
    """
    table = store.provenance(registry.configs(study, scale))
    now = changes.definitions(origin.sources(), study)
    found = {}
    for commit in sorted({str(commit) for commit in table["commit"]}):
        then = origin.sources(commit)
        names = changes.changed(changes.definitions(then, study), now) if then else ["unknown code"]
        if names:
            found[commit] = names
    return found


@dataclass(frozen=True)
class Comparison:
    """A published unit beside the same unit computed now.

    Args:
        difference: the largest relative difference on the kind of processor and the torch build that the record
            names; elsewhere the one that nine numbers of ten stay below.
        allowed: what it may be.
        seconds: of the new run.
    """

    name: str
    same_machine: bool
    difference: float
    allowed: float
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the rows agree."""
        return self.difference <= self.allowed

    def __str__(self) -> str:
        verdict, what = "agrees" if self.ok else "DIFFERS", "largest" if self.same_machine else "90 % below"
        allowed = f"(allowed {self.allowed:.2g}), {self.seconds:.0f} s"
        return f"{self.name}: {verdict}, relative differences: {what} {self.difference:.2g} {allowed}"


def published(study: str, scale: str) -> Iterator[tuple[object, dict]]:
    """(config, record) of every published unit whose data are on this machine."""
    root = store.published()
    for config in registry.configs(study, scale):
        if root is not None and not results.lacking(config, download=False):
            key = records.key(config)
            for path in catalogue.Folder(root, scale, study).files.get(key[:12], []):
                if (record := units.read(path, key, quiet=True)) is not None:
                    yield config, record


def verify(config: Any, record: dict, *, progress: Callable | None = None) -> Comparison:
    """Compute a published unit again, in a folder of its own, and compare all rows.

    On one kind of processor and one torch build all numbers are the same to 7 digits. Elsewhere sums round
    otherwise, which training amplifies in a few of them: there the study's `spread` is allowed, and for nine
    numbers of ten.
    """
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, numerics.fixed():
        finish = origin.start()
        rows = [
            records.freeze(row, "a row")
            for row in config.run(workspace=Path(folder), progress=progress, device=numerics.device())
        ]
        now = finish()
    same = all(record["provenance"].get(name) == now[name] for name in ("device", "capability", "torch"))
    found = differences(record["rows"], rows)
    value = found[-1] if same else found[math.ceil(0.9 * (len(found) - 1))]
    allowed = EXACT if same else getattr(config, "spread", EXACT)
    return Comparison(records.slug(config), same, value, allowed, time.perf_counter() - began)


def differences(before: list[dict], after: list[dict]) -> list[float]:
    """Relative differences of numbers at one place, sorted; infinite where rows, columns or words differ.

    A column that only the newer rows have is no difference; times are not compared.
    """
    if len(before) != len(after):
        return [math.inf]
    return sorted(
        _apart(old[name], new.get(name))
        for old, new in zip(before, after, strict=True)
        for name in old
        if name not in TIMES
    ) or [0.0]


def _apart(old: Any, new: Any) -> float:
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return max((_apart(a, b) for a, b in zip(old, new, strict=True)), default=0.0)
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (old, new)]
    if not all(numbers):
        return 0.0 if old == new else math.inf
    return abs(old - new) / max(abs(old), abs(new), FLOOR)
