"""Configs looked up, run where nothing is found, and kept: what `relstab.store` offers."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from relstab.store import atomic, environment, origin, records, units
from relstab.store.catalogue import Catalogue, published, working
from relstab.store.origin import FIELDS
from relstab.store.records import key, settings_hash
from relstab.store.rows import Rows

DIGITS = 7


def _unique(configs: Iterable, catalogue: Catalogue, *, runs: bool = True) -> dict:
    """The configs by `settings_hash`, in their order; each replaced by the alternative that serves, if it has any.

    Of a config and its `alternatives()`, best first, that is the first one found, else (if it `runs`) the first
    one whose data are on this machine, else the config itself.
    """
    unique = {}
    for config in configs:
        options = (config, *getattr(config, "alternatives", tuple)())
        if len(options) > 1:
            found = (one for one in options if catalogue.find(one, quiet=True) is not None)
            present = (one for one in options if runs and not lacking(one, download=False))
            config = next(itertools.chain(found, present, options))
        unique.setdefault(settings_hash(config), config)
    return unique


def _found(configs: dict, catalogue: Catalogue) -> dict:
    """The records of those configs that have one, by `settings_hash`."""
    hits = {name: catalogue.find(config) for name, config in configs.items()}
    return {name: hit[0] for name, hit in hits.items() if hit is not None}


def lacking(config: Any, *, download: bool = True) -> str:
    """What the unit needs and this machine lacks, in one sentence; empty if nothing.

    A config tells by `require(download=...)`, which raises FileNotFoundError and reads no data; one without it
    needs nothing. download: whether what is a public download counts as here.
    """
    try:
        getattr(config, "require", _nothing)(download=download)
    except FileNotFoundError as error:
        return str(error)
    return ""


def _frame(configs: dict, found: dict) -> Rows:
    """One line per row of every config in `found`: its fields, then the row's columns. Both by `settings_hash`."""
    lines = []
    for name, config in configs.items():
        if (record := found.get(name)) is not None:
            settings = {field: getattr(config, field) for field in record["config"]}
            lines += [settings | records.thaw(row) for row in record["rows"]]
    study, scale = next(((config.study, config.scale) for config in configs.values()), ("", ""))
    return Rows(lines).of(study, scale, units=len(configs), missing=len(configs) - len(found))


def _nothing(*, download: bool) -> None:
    """What a config requires that does not say."""


@dataclass(frozen=True)
class Plan:
    """What a run would do: units found, units to run and what they cost, and units that cannot run here.

    Args:
        minutes: sum of `cost_minutes` over the missing configs that state it.
        lacking: what this machine lacks, in one sentence -> how many units need it; these units are not in
            `missing`.
    """

    found: int
    missing: int
    minutes: float
    lacking: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        left_out = sum(self.lacking.values())
        text = f"{self.found + self.missing + left_out} units: {self.found} found, {self.missing} to run"
        if self.minutes:
            long = self.minutes >= 120
            text += f", about {self.minutes / (60 if long else 1):.3g} {'hours' if long else 'minutes'}"
        return text + (f", {left_out} left out for want of data" if left_out else "")


def plan(configs: Iterable) -> Plan:
    """What `get_or_run(configs)` would find and run, and its estimated cost; runs nothing.

    >>> plan([])
    Plan(found=0, missing=0, minutes=0.0, lacking={})
    """
    catalogue = Catalogue()
    configs = _unique(configs, catalogue).values()
    missing = [config for config in configs if catalogue.find(config, quiet=True) is None]
    wants = [lacking(config) for config in missing]
    runnable = [config for config, want in zip(missing, wants, strict=True) if not want]
    minutes = sum((float(getattr(config, "cost_minutes", None) or 0) for config in runnable), 0.0)
    return Plan(len(configs) - len(missing), len(runnable), minutes, dict(Counter(filter(None, wants))))


def why(config: Any) -> str:
    """Why the config would run, or where it is found: one phrase.

    "in the working store", "published", "never run", "study version 2, results are of 1", "other data",
    "damaged file".
    """
    catalogue = Catalogue()
    found = catalogue.find(config, quiet=True)
    if found is not None:
        return "in the working store" if found[1] == working() else "published"
    folders = catalogue.folders(config.scale, config.study)
    same = [record for folder in folders for record in folder.alike(config)]
    if any(record["version"] == config.version for record in same):
        return "other data"
    if same:
        versions = ", ".join(sorted({str(record["version"]) for record in same}))
        return f"study version {config.version}, results are of {versions}"
    return "damaged file" if any(key(config)[:12] in folder.files for folder in folders) else "never run"


def get_or_run(
    configs: Iterable,
    executor: Any = None,
    *,
    budget_minutes: float | int | None = None,
    progress: Callable[[str], object] | None = None,
) -> Rows:
    """Rows of all configs, those that no store has run now: one line per row, config fields then row columns.

    Each unit is stored the moment it ends. Duplicates run once. Units whose data or weights are not on this machine
    are left out, which `progress` is told. `missing` counts the units without rows, `units` all.

    Args:
        configs: those of a study, see `relstab.store.records`.
        executor: None (here, one after the other), any concurrent.futures.Executor, or submitit's; see
            `relstab.store.executors`.
        budget_minutes: start no unit after this many minutes; None for no limit.
        progress: called with one line of text as units end; passed on to the units that run in this process.

    Raises RuntimeError when units failed (after all others were run and stored) or RELSTAB_NO_RUN forbids
    running, OSError when the store cannot be written (what it held is untouched), FileNotFoundError when there
    are units to run and the data of all of them are missing, TypeError for a config without its fields and
    ValueError for a negative budget.
    """
    if budget_minutes is not None and not budget_minutes >= 0:
        raise ValueError(f"budget_minutes is {budget_minutes!r}; it must be at least 0, or None for no limit")
    catalogue = Catalogue()
    configs = _unique(configs, catalogue)
    found = _found(configs, catalogue)
    missing = [config for name, config in configs.items() if name not in found]
    if missing:
        deadline = None if budget_minutes is None else time.time() + 60 * budget_minutes
        found |= _run(missing, executor, deadline, progress)
    return _frame(configs, found)


def _run(configs: list, executor: Any, deadline: float | None, progress: Callable[[str], object] | None) -> dict:
    """Run units and store them: their records by `settings_hash`."""
    first = configs[0]
    if environment.flag("RELSTAB_NO_RUN"):
        raise RuntimeError(
            f"get_or_run would run {len(configs)} units of study {first.study!r} at scale {first.scale!r} "
            f"({records.slug(first)}: {why(first)}), but RELSTAB_NO_RUN is set"
        )
    root, found, failures = working(), {}, []
    todo = _runnable(configs, progress)
    _prepare(root)
    began, late = time.monotonic(), 0
    with closing(units.run_all(todo, root, executor, deadline=deadline, progress=progress)) as ended:
        for unit, outcome in ended:
            if outcome.record is not None:
                _keep(outcome.record, unit, root, len(found))
                found[settings_hash(unit.config)] = outcome.record
            elif outcome.state == "unwritable":
                raise _unwritable(root, outcome.error, len(found))
            elif outcome.state == "failed":
                failures.append((unit, outcome))
            else:
                late += 1
                continue
            if progress:
                done = len(found) + len(failures)
                progress(_line(unit, outcome, done, len(todo), time.monotonic() - began))
    if progress and late:
        progress(f"budget spent: {late} units left for the next call")
    if failures:
        raise _failure(failures, len(todo), len(found), late)
    return found


def _runnable(configs: list, progress: Callable[[str], object] | None) -> list:
    """The units whose data are here; the others are left out and said so. FileNotFoundError when none is left."""
    todo, wants = [], Counter()
    for config in configs:
        try:
            want = lacking(config)
            if not want:
                todo.append(units.Unit.of(config))
        except FileNotFoundError as error:  # a download that failed
            want = str(error)
        if want:
            wants[want] += 1
    if not todo:
        raise FileNotFoundError("; ".join(wants))
    if progress:
        for want, count in wants.items():
            progress(f"{count} units left out: {want}")
    return todo


def _prepare(root: Path) -> None:
    """Make the store, remove what killed runs left; OSError with one sentence when it cannot be written."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        atomic.write(root / ".writable", b"")
        (root / ".writable").unlink(missing_ok=True)
        units.tidy(root)
    except OSError as error:
        raise _unwritable(root, error.strerror or error, 0) from error


def _keep(record: dict, unit: units.Unit, root: Path, stored: int) -> None:
    """Store a result unless its worker did: one whose disk is full, or a cluster node with its own disk."""
    if units.read(root / unit.name, unit.key, quiet=True) is None:
        try:
            units.store(record, unit, root)
        except OSError as error:
            lost = f"; the result of {records.slug(unit.config)} could not be kept"
            raise _unwritable(root, error.strerror or error, stored, lost) from error


def _unwritable(root: Path, reason: object, stored: int, lost: str = "") -> OSError:
    return OSError(
        f"results store {root} cannot be written ({reason}): {stored} units of this run are stored{lost}; "
        "free space, or set RELSTAB_STORE to a folder that can be written, and run again"
    )


def _line(unit: units.Unit, outcome: units.Outcome, done: int, total: int, seconds: float) -> str:
    """A line of progress: which unit ended, how long it took or why it failed, and the time left."""
    took = f"{outcome.record['provenance']['seconds']:.0f} s" if outcome.record else outcome.error
    left = "" if done == total else f", about {seconds / done * (total - done) / 60:.1f} min left"
    return f"[{done}/{total}] {unit.config.study} {records.slug(unit.config)}: {took}{left}"


def _failure(failures: list[tuple[units.Unit, units.Outcome]], total: int, stored: int, late: int) -> RuntimeError:
    """One error for all failed units, alike ones counted together, each kind's traceback as a note."""
    kinds, example = Counter(outcome.error for _, outcome in failures), {}
    for unit, outcome in failures:
        example.setdefault(outcome.error, (unit, outcome))
    listed = "; ".join(
        f"{records.slug(example[error][0].config)}" + (f" and {count - 1} more" if count > 1 else "") + f": {error}"
        for error, count in kinds.most_common()
    )
    rest = f", {late} not started" if late else ""
    error = RuntimeError(
        f"{len(failures)} of {total} units of study {failures[0][0].config.study!r} failed "
        f"({stored} stored{rest}; a new call runs only what is missing): {listed}"
    )
    for _, outcome in example.values():
        if outcome.trace:
            error.add_note(outcome.trace)
    return error


def load(configs: Iterable) -> Rows:
    """Rows of the configs that exist, stored or published; runs nothing."""
    catalogue = Catalogue()
    configs = _unique(configs, catalogue, runs=False)
    return _frame(configs, _found(configs, catalogue))


def provenance(configs: Iterable) -> pd.DataFrame:
    """One line per config that has a result: unit, where ("store" or "published"), rows, key, data, provenance."""
    lines, catalogue = [], Catalogue()
    for config in _unique(configs, catalogue, runs=False).values():
        hit = catalogue.find(config, quiet=True)
        if hit is not None:
            record, root = hit
            lines.append(
                {
                    "unit": records.slug(config),
                    "where": "store" if root == working() else "published",
                    "rows": len(record["rows"]),
                    "key": record["key"][:12],
                    "data": record["data"][:12],
                    **record["provenance"],
                }
            )
    columns = ["unit", "where", "rows", "key", "data", "scale", "seed", *FIELDS, "resumed"]
    return pd.DataFrame(lines, columns=columns)


def publish(configs: Iterable) -> int:
    """Copy the stored rows of configs to the published results; the number of those that are there now.

    Floats are rounded to 7 significant digits, so that the files stay small and readable in a diff; a result
    already published with the same rows is left alone, unless it cannot be traced. Published means traceable:
    only results whose code is that of a commit here are copied, and name that commit.
    ValueError, after all others have been published, for results of code that is in no commit; OSError when the
    folder cannot be written.
    """
    root = published()
    if root is None:
        raise ValueError("RELSTAB_RESULTS is not set and this is no checkout; set it to the folder to publish in")
    kept, refused, catalogue = set(), [], Catalogue()
    for config in _unique(configs, catalogue).values():
        try:
            kept.add(_publish_one(config, catalogue, root))
        except Untraceable as error:
            refused.append(str(error))
    kept.discard(None)
    if refused:
        raise ValueError(
            f"{len(refused)} results were not published, the other {len(kept)} were: their code is that of no "
            f"commit here; run them again from a clean checkout ({', '.join(refused[:3])}"
            f"{', ...' if len(refused) > 3 else ''})"
        )
    return len(kept)


class Untraceable(Exception):
    """A result was computed by code that is in no commit of this checkout."""


def traced(source: dict) -> dict | None:
    """The provenance with the commit whose code it names, whatever git said when it ran; None without one."""
    commit = origin.commit_of(source.get("code", ""))
    return None if commit is None else {**source, "commit": commit, "dirty": False}


def _publish_one(config: Any, catalogue: Catalogue, root: Path) -> Path | None:
    """The config's published file, written now or found as it should be; None when there is no result."""
    hit = catalogue.find(config)
    if hit is None:
        return None
    record = hit[0] | {"rows": [records.rounded(row, DIGITS) for row in hit[0]["rows"]]}
    path = root / records.file_name(config, record["key"])
    if hit[1] == root:
        return path
    source = traced(record["provenance"])
    if source is None:
        raise Untraceable(records.slug(config))
    record["provenance"] = source
    present = units.read(path, record["key"], quiet=True)
    if present is None or present["rows"] != record["rows"] or present["provenance"]["dirty"] is not False:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write(path, records.dumps(record))
        except OSError as error:
            raise OSError(f"results folder {root} cannot be written ({error.strerror})") from error
    return path
