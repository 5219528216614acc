"""Running one unit of a study, where it runs: in this process, a pool's, or a cluster worker's.

A unit is locked, looked up once more, run in a private folder for its checkpoints, and stored atomically the
moment it ends. So a run killed at any point loses at most the units in flight (and those resume from their
own checkpoints), two processes never run the same unit at once, and nothing that is stored runs again.
"""

import errno
import os
import shutil
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relstab.store import atomic, numerics, origin, records

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_POLL = 0.2  # seconds between two looks at jobs that are no concurrent.futures.Future (submitit)


@dataclass(frozen=True)
class Outcome:
    """How a unit ended: "stored", "busy" (elsewhere), "late" (after the deadline), "failed", "unwritable"."""

    state: str
    record: dict | None = None
    error: str = ""
    trace: str = ""


@dataclass(frozen=True)
class Unit:
    """A config with its key and its place in a store."""

    config: Any
    key: str
    name: str

    @classmethod
    def of(cls, config: Any) -> "Unit":
        """The unit of a config; FileNotFoundError when its data are not there."""
        unit_key = records.key(config)
        return cls(config, unit_key, records.file_name(config, unit_key))

    def workspace(self, root: str | Path) -> Path:
        """The unit's private folder for checkpoints."""
        return Path(root, ".work", self.name).with_suffix("")

    def lock(self, root: str | Path) -> Path:
        """The unit's lock file."""
        return Path(root, ".locks", self.key[:12] + ".lock")


def read(path: str | Path, unit_key: str | None = None, *, quiet: bool = False) -> dict | None:
    """The record in a file, or None: no file is a plain miss, a damaged one a miss with a warning."""
    try:
        return records.loads(Path(path).read_bytes(), unit_key)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        if not quiet:
            warnings.warn(
                f"result file {Path(path).name} is damaged and counts as missing: {error}", RuntimeWarning, stacklevel=2
            )
        return None


def run(unit: Unit, root: str, wait: bool, deadline: float | None, progress: Callable | None = None) -> Outcome:
    """Run the unit unless the store `root` has it by now; never raises for what the unit itself does.

    Args:
        wait: whether to wait (until the deadline) for another process that runs the same unit.
        deadline: seconds since the epoch after which no unit is started, so that a budget holds on every worker.
    """
    left = float("inf") if deadline is None else deadline - time.time()
    if left <= 0:
        return Outcome("late")
    try:
        unit.lock(root).parent.mkdir(parents=True, exist_ok=True)
        with atomic.lock(unit.lock(root), patience=left if wait else 0.0) as held:
            if not held:
                return Outcome("busy")
            record = read(Path(root, unit.name), unit.key, quiet=True)
            return Outcome("stored", record) if record else _run_locked(unit, root, progress)
    except OSError as error:
        return Outcome("unwritable", error=error.strerror or str(error))


def _run_locked(unit: Unit, root: str, progress: Callable | None) -> Outcome:
    """Run and store the unit; OSError when the store cannot be written before it runs."""
    folder = unit.workspace(root)
    folder.mkdir(parents=True, exist_ok=True)
    resumed = any(folder.iterdir())
    try:
        with numerics.fixed():
            finish = origin.start()
            rows = unit.config.run(workspace=folder, progress=progress, device=numerics.device())
            source = {**finish(), "resumed": resumed}  # then `seconds` counts the last attempt only
        record = records.build(unit.config, unit.key, rows, source)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:  # no unit after it could be kept either
            return Outcome("unwritable", error=f"{error.strerror}, in the run of {records.slug(unit.config)}")
        return _failed(error)
    try:
        store(record, unit, root)
    except OSError as error:
        return Outcome("unwritable", record, error=error.strerror or str(error))
    return Outcome("stored", record)


def _failed(error: Exception) -> Outcome:
    """A failure in one line, with the whole traceback beside it."""
    first = next(iter(str(error).splitlines()), "")
    trace = "".join(traceback.format_exception(error))
    return Outcome("failed", error=f"{type(error).__name__}: {first}", trace=trace)


def store(record: dict, unit: Unit, root: str | Path) -> None:
    """Write a record into a store and remove the unit's private folder; OSError when it cannot be written."""
    path = Path(root, unit.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write(path, records.dumps(record))
    shutil.rmtree(unit.workspace(root), ignore_errors=True)


def tidy(root: str | Path) -> None:
    """Remove what killed runs left in a store: half-written files, and private folders of stored units."""
    atomic.sweep(root)
    for folder in Path(root, ".work").glob("*/*/*"):
        path = Path(root, folder.relative_to(Path(root, ".work"))).with_name(folder.name + ".json")
        if read(path, quiet=True) is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _as_completed(pending: Iterable) -> Iterator:
    """Jobs in the order they end; also submitit's, which have done() and result() but are no Future."""
    pending = set(pending)
    if all(isinstance(job, futures.Future) for job in pending):
        yield from futures.as_completed(pending)
        return
    while pending:
        for job in [job for job in pending if job.done()]:
            pending.discard(job)
            yield job
        time.sleep(_POLL)


def run_all(
    units: Iterable[Unit],
    root: str | Path,
    executor: Any = None,
    *,
    deadline: float | None = None,
    progress: Callable[[str], object] | None = None,
) -> Iterator[tuple[Unit, Outcome]]:
    """Run units here or on an executor; (unit, outcome) as each ends.

    Units that another process is running are left for the end, then waited for: two identical commands side
    by side share the work. Leaving the iteration early (an error, Ctrl-C) cancels what has not started.
    """
    units = list(units)
    for wait in (False, True):
        busy = []
        once = (
            _here(units, root, wait, deadline, progress)
            if executor is None
            else _there(units, root, wait, deadline, executor)
        )
        for unit, outcome in once:
            if outcome.state == "busy" and not wait:
                busy.append(unit)
            else:
                yield unit, outcome
        if progress and busy:
            progress(f"waiting for {len(busy)} units that another process is running")
        units = busy


def _here(
    units: list[Unit], root: str | Path, wait: bool, deadline: float | None, progress: Callable | None
) -> Iterator[tuple[Unit, Outcome]]:
    for unit in units:
        yield unit, run(unit, os.fspath(root), wait, deadline, progress)


def _there(units: list[Unit], root: str | Path, wait: bool, deadline: float | None, executor: Any) -> Iterator[tuple]:
    jobs = {executor.submit(run, unit, os.fspath(root), wait, deadline): unit for unit in units}
    try:
        for job in _as_completed(jobs):
            try:
                outcome = job.result()
            except Exception as error:  # the worker died, not the unit: a broken pool, a lost cluster node
                outcome = _failed(error)
            yield jobs[job], outcome
    finally:
        for job in jobs:
            job.cancel()
