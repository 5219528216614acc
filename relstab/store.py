"""Results by key: found, or run and kept, whatever happens meanwhile.

All figures of all papers read their rows from here. `get_or_run` looks a config up in the working store
(RELSTAB_STORE, default build/store), then among the published results (RELSTAB_RESULTS, default results/ of the
checkout), and runs what neither has. Both hold the same files, `<scale>/<study>/<name>-<key>.json` (see
`relstab.records` for key and format); published floats are rounded to 7 significant digits.

    from relstab import executors, store, studies
    configs = studies.configs("zoo", "laptop")
    print(store.plan(configs))                       # 40 units: 12 found, 28 to run, about 190 minutes
    with executors.processes() as pool:
        rows = store.get_or_run(configs, pool, budget_minutes=60, progress=print)
    rows.attrs["missing"]                            # units the budget left for the next call

With RELSTAB_NO_RUN=1 in the environment anything that would run is an error: proof that all was found.
"""

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from relstab import atomic, records, scales, units
from relstab.provenance import PACKAGE
from relstab.records import key

__all__ = [
    "Plan",
    "get_or_run",
    "key",
    "load",
    "plan",
    "provenance",
    "publish",
    "published",
    "why",
    "working",
]
DIGITS = 7


def _checkout() -> Path | None:
    return PACKAGE.parent if (PACKAGE.parent / "pyproject.toml").exists() else None


def working() -> Path:
    """Root of the working store: RELSTAB_STORE, else build/store in the checkout (or here, outside one)."""
    root = os.environ.get("RELSTAB_STORE") or (_checkout() or Path.cwd()) / "build" / "store"
    return Path(root).absolute()


def published() -> Path | None:
    """Root of the published results: RELSTAB_RESULTS, else results/ in the checkout; None outside one."""
    root = os.environ.get("RELSTAB_RESULTS") or (_checkout() and _checkout() / "results")
    return Path(root).absolute() if root else None


def _roots() -> list[Path]:
    return [root for root in (working(), published()) if root is not None]


def _namesakes(config, root: Path) -> list[Path]:
    """Files that may hold the config's result: same scale, study and settings, any version and data."""
    folder = root / config.scale / config.study
    return sorted(folder.glob(f"{records.slug(config)}-{'[0-9a-f]' * 12}.json"))


def _find(config, *, quiet: bool = False) -> tuple[dict, Path] | None:
    """The config's record and its root, or None.

    Where the data are not on this machine their digest is unknown; then the published or stored result of the
    same study version and settings is taken, since a reader of the book need not own the images.
    """
    for root in _roots():
        candidates = _namesakes(config, root)
        if not candidates:  # so a look at an empty store never opens a data set
            continue
        try:
            unit = units.Unit.of(config)
        except FileNotFoundError:
            found = [record for path in candidates if (record := units.read(path, quiet=quiet))]
            found = [record for record in found if _same_recipe(record, config)]
            record = max(found, key=lambda record: record["provenance"]["finished"], default=None)
        else:
            record = units.read(root / unit.name, unit.key, quiet=quiet)
        if record is not None:
            return record, root
    return None


def _same_recipe(record: dict, config) -> bool:
    return record["version"] == config.version and record["config"] == records.fields(config)


def _unique(configs) -> list:
    """The configs, each once, in their order."""
    unique = {}
    for config in configs:
        unique.setdefault(records.recipe(config), config)
    return list(unique.values())


def _frame(configs, found: dict) -> pd.DataFrame:
    """One line per row of every config in `found`: its fields, then the row's columns."""
    lines = [
        {name: getattr(config, name) for name in record["config"]} | records.thaw(row)
        for config in configs
        if (record := found.get(records.recipe(config))) is not None
        for row in record["rows"]
    ]
    frame = pd.DataFrame(lines)
    frame.attrs["missing"] = len(configs) - len(found)
    frame.attrs["units"] = len(configs)
    return frame


@dataclass(frozen=True)
class Plan:
    """What a run would do: units found, units missing, and what the missing ones cost.

    minutes: sum of `cost_minutes` over the missing configs that state it; unpriced: how many do not.
    """

    found: int
    missing: int
    minutes: float
    unpriced: int

    def __str__(self):
        text = f"{self.found + self.missing} units: {self.found} found, {self.missing} to run"
        if self.missing > self.unpriced:
            text += f", about {self.minutes:.3g} minutes"
            text += f" and {self.unpriced} of unknown cost" if self.unpriced else ""
        return text


def plan(configs) -> Plan:
    """What `get_or_run(configs)` would find and run, and its estimated cost; runs nothing."""
    configs = _unique(configs)
    missing = [config for config in configs if _find(config, quiet=True) is None]
    costs = [getattr(config, "cost_minutes", None) for config in missing]
    priced = [float(cost) for cost in costs if cost is not None]
    return Plan(len(configs) - len(missing), len(missing), sum(priced), len(costs) - len(priced))


def why(config) -> str:
    """Why the config would run, or where it is found: one phrase.

    "in the working store", "published", "never run", "study version 2, results are of 1", "other data",
    "damaged file".
    """
    found = _find(config, quiet=True)
    if found is not None:
        return "in the working store" if found[1] == working() else "published"
    paths = [path for root in _roots() for path in _namesakes(config, root)]
    others = [record for path in paths if (record := units.read(path, quiet=True))]
    same = [record for record in others if record["config"] == records.fields(config)]
    if any(record["version"] == config.version for record in same):
        return "other data"
    if same:
        versions = ", ".join(sorted({str(record["version"]) for record in same}))
        return f"study version {config.version}, results are of {versions}"
    return "damaged file" if len(others) < len(paths) else "never run"


def get_or_run(configs, executor=None, *, budget_minutes=None, progress=None) -> pd.DataFrame:
    """Rows of all configs, those that no store has run now: one line per row, config fields then row columns.

    Each unit is stored the moment it ends. Duplicates run once. `attrs["missing"]` counts the units that the
    budget left out, `attrs["units"]` all.

    Parameters
    ----------
    configs : configs of a study (see `relstab.records`).
    executor : None (here, one after the other), any concurrent.futures.Executor, or submitit's; see
        `relstab.executors`.
    budget_minutes : start no unit after this many minutes; None for no limit.
    progress : called with one line of text as units end; passed on to the units that run in this process.

    Raises
    ------
    RuntimeError : units failed (after all others were run and stored), or RELSTAB_NO_RUN forbids running.
    OSError : the store cannot be written; what it held is untouched.
    FileNotFoundError : the data of a config are missing.
    TypeError, ValueError : a config without the fields above, a negative budget.
    """
    if budget_minutes is not None and not budget_minutes >= 0:
        raise ValueError(f"budget_minutes is {budget_minutes!r}; it must be at least 0, or None for no limit")
    configs, found = _unique(configs), {}
    for config in configs:
        if (hit := _find(config)) is not None:
            found[records.recipe(config)] = hit[0]
    missing = [config for config in configs if records.recipe(config) not in found]
    if missing:
        deadline = None if budget_minutes is None else time.time() + 60 * budget_minutes
        found |= _run(missing, executor, deadline, progress)
    return _frame(configs, found)


def _run(configs, executor, deadline, progress) -> dict:
    """Run units and store them: their records by recipe."""
    first = configs[0]
    if os.environ.get("RELSTAB_NO_RUN", "") not in ("", "0"):
        raise RuntimeError(
            f"get_or_run would run {len(configs)} units of study {first.study!r} at scale {first.scale!r} "
            f"({records.slug(first)}: {why(first)}), but RELSTAB_NO_RUN is set"
        )
    root, found, failures = working(), {}, []
    todo = [units.Unit.of(config) for config in configs]
    _prepare(root, todo)
    began, late = time.monotonic(), 0
    ended = units.run_all(todo, root, executor, deadline=deadline, progress=progress)
    for unit, outcome in ended:
        if outcome.record is not None and not (root / unit.name).exists():  # ran where our store is not seen
            try:
                units.store(outcome.record, unit, root)
            except OSError as error:
                ended.close()
                raise _unwritable(root, error.strerror, len(found), unit) from error
        elif outcome.state == "unwritable":
            ended.close()
            raise _unwritable(root, outcome.error, len(found), None)
        if outcome.record is not None:
            found[records.recipe(unit.config)] = outcome.record
        elif outcome.state == "failed":
            failures.append((unit, outcome))
        else:
            late += 1
        if progress and outcome.state != "late":
            _report(progress, unit, outcome, len(found) + len(failures), len(todo), time.monotonic() - began)
    if progress and late:
        progress(f"budget spent: {late} units left for the next call")
    if failures:
        raise _failure(failures, len(todo), len(found), late)
    return found


def _prepare(root: Path, todo) -> None:
    """Make the store, remove what killed runs left; OSError with one sentence when it cannot be written."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        atomic.sweep(root)
        atomic.write(root / ".writable", b"")
    except OSError as error:
        raise _unwritable(root, error.strerror, 0, None) from error


def _unwritable(root, reason, stored, unit) -> OSError:
    lost = f"; the result of {records.slug(unit.config)} could not be kept" if unit else ""
    return OSError(
        f"results store {root} cannot be written ({reason}): {stored} units of this run are stored{lost}; free "
        "space, or set RELSTAB_STORE to a folder that can be written, and run again"
    )


def _report(progress, unit, outcome, done, total, seconds):
    took = f"{outcome.record['provenance']['seconds']:.0f} s" if outcome.record else outcome.error
    left = "" if done == total else f", about {seconds / done * (total - done) / 60:.1f} min left"
    progress(f"[{done}/{total}] {unit.config.study} {records.slug(unit.config)}: {took}{left}")


def _failure(failures, total, stored, late) -> RuntimeError:
    """One error for all failed units, alike ones counted together, each kind's traceback as a note."""
    kinds, example = Counter(outcome.error for _, outcome in failures), {}
    for unit, outcome in failures:
        example.setdefault(outcome.error, (unit, outcome))
    listed = "; ".join(
        f"{records.slug(example[error][0].config)}"
        + (f" and {count - 1} more" if count > 1 else "")
        + f": {error}"
        for error, count in kinds.most_common()
    )
    rest = f", {late} not started" if late else ""
    error = RuntimeError(
        f"{len(failures)} of {total} units of study {failures[0][0].config.study!r} failed ({stored} stored{rest}; "
        f"a new call runs only what is missing): {listed}"
    )
    for _, outcome in example.values():
        if outcome.trace:
            error.add_note(outcome.trace)
    return error


def _configs(study: str, scale: str) -> list:
    from relstab import studies  # the registry imports this module

    return _unique(studies.configs(study, scale))


def load(study: str, scale: str) -> pd.DataFrame:
    """Rows that exist, stored or published, for the study's present configs; runs nothing.

    attrs: study, scale, units, and missing, the number of units without a result.
    """
    configs = _configs(study, scale)
    hits = {records.recipe(config): hit[0] for config in configs if (hit := _find(config)) is not None}
    frame = _frame(configs, hits)
    frame.attrs |= {"study": study, "scale": scale}
    return frame


def provenance(study: str, scale: str) -> pd.DataFrame:
    """One line per unit that exists: unit, where ("store" or "published"), rows, key, data, and its provenance."""
    lines = []
    for config in _configs(study, scale):
        hit = _find(config, quiet=True)
        if hit is not None:
            record, root = hit
            lines.append({
                "unit": records.slug(config),
                "where": "store" if root == working() else "published",
                "rows": len(record["rows"]),
                "key": record["key"][:12],
                "data": record["data"][:12],
                **record["provenance"],
            })  # fmt: skip
    return pd.DataFrame(lines)


def publish(scale: str, study: str | None = None, *, prune: bool = False) -> int:
    """Copy the stored rows of the present configs at `scale` to results/; the number of units published there.

    study: one study, or None for all. Floats are rounded to 7 significant digits, so that the files stay small
    and readable in a diff; a result already published with the same rows is left alone. prune=True also removes
    published files that belong to no present config (an older study version, other data). ValueError for
    "tiny", which every reader computes; OSError when results/ cannot be written.
    """
    if scales.check(scale) == "tiny":
        raise ValueError(
            "scale is 'tiny'; it must be laptop, gpu or paper: tiny rows are computed by each reader"
        )
    root = published()
    if root is None:
        raise ValueError(
            "RELSTAB_RESULTS is not set and this is no checkout; set it to the folder to publish in"
        )
    from relstab import studies  # the registry imports this module

    kept = set()
    for name in [study] if study else studies.names():
        configs = _configs(name, scale)
        kept |= {path for config in configs if (path := _publish_one(config, root)) is not None}
        if prune:
            for folder in {root / scale / config.study for config in configs}:
                for path in set(folder.glob("*.json")) - kept:
                    path.unlink()
    return len(kept)


def _publish_one(config, root: Path) -> Path | None:
    """The config's published file, written now or found as it should be; None when there is no result."""
    hit = _find(config)
    if hit is None:
        return None
    record = hit[0] | {"rows": [records.rounded(row, DIGITS) for row in hit[0]["rows"]]}
    path = root / records.file_name(config, record["key"])
    present = units.read(path, record["key"], quiet=True)
    if present is None or present["rows"] != record["rows"]:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, records.dumps(record))
        except OSError as error:
            raise OSError(f"results folder {root} cannot be written ({error.strerror})") from error
    return path
