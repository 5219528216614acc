"""Execute the notebooks with papermill: only what changed, several at a time, never half.

Serves every page of the book. papermill saves after every cell into the file it was given, and a kill leaves
that file half empty; so each notebook runs into a temporary file, which takes its place only when every cell
has completed (`relbook.press.notebook.problems`). What is current (`relbook.press.fingerprint`) does not run. With
RELSTAB_NO_RUN set, having to run anything is an error: that is how a test proves that nothing did. ::

    build/executed/<scale>/<name>.ipynb    the executed notebook, in its metadata the key, provenance and downloads
    build/executed/<scale>/<name>.log      what papermill and the cells printed in the last attempt

>>> from relbook.press import execute
>>> results = execute.execute(scale="tiny", jobs=2)                     # doctest: +SKIP
>>> [result.name for result in results if not result.ok]                # doctest: +SKIP
[]
"""

import shutil
import subprocess
import time
import tomllib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relbook import scales
from relbook.press import downloads, fingerprint, notebook, reach, runner
from relstab.store import atomic, environment, executors, origin

ROOT = origin.PACKAGE.parent
SOURCES = (origin.PACKAGE, ROOT / "relbook")
TAIL = 25  # lines of a failed notebook's log that are shown
TIMEOUT = {"tiny": 1200.0}  # seconds for one notebook; at larger scales it may take what it needs


@dataclass(frozen=True)
class Result:
    """What became of one notebook: status is "current", "executed", "failed", "refused" or "out of date"."""

    name: str
    status: str
    why: str
    seconds: float
    executed: Path
    log: Path

    @property
    def ok(self) -> bool:
        """Whether a complete executed notebook with today's key exists."""
        return self.status in ("current", "executed")


@dataclass(frozen=True)
class _Plan:
    """A notebook, what is to become of it, and everything that its run needs."""

    result: Result
    cells: object
    given: dict
    parts: dict

    @property
    def temporary(self) -> Path:
        return self.result.executed.with_name(f".{self.result.executed.stem}.tmp.ipynb")

    @property
    def raw(self) -> Path:
        return self.result.executed.with_name(f".{self.result.executed.stem}.raw.tmp.ipynb")

    @property
    def files(self) -> Path:
        return self.result.executed.with_name(f".{self.result.executed.stem}.tmp.files")

    def discard(self) -> None:
        shutil.rmtree(self.files, ignore_errors=True)
        self.temporary.unlink(missing_ok=True)
        self.raw.unlink(missing_ok=True)


def execute(
    names: Iterable[str] | None = None,
    scale: str = "tiny",
    jobs: int = 2,
    *,
    parameters: dict[str, object] | None = None,
    timeout: float | int | None = None,
    root: str | Path = ROOT,
    sources: Sequence = SOURCES,
    say: Callable[[str], object] = print,
) -> list[Result]:
    """Bring the executed notebooks of one scale up to date; one Result a notebook, in their order.

    Args:
        names: parts of notebook names (None: all).
        parameters: beside `scale`, for every notebook chosen.
        timeout: seconds for one notebook (None: 20 minutes at tiny, no limit otherwise).
        sources: the packages' folders.

    Raises:
        ValueError: unknown name or scale, jobs < 1, another run busy.

    A notebook that fails does not stop the others.
    """
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}; it must be at least 1")
    timeout = TIMEOUT.get(scales.check(scale)) if timeout is None else timeout
    chosen = notebook.select(notebook.discover(root), names)
    given = {"scale": scale, **(parameters or {})}
    folder = _folder(root, scale)
    folder.mkdir(parents=True, exist_ok=True)
    results = {}
    with atomic.lock(folder / ".lock") as alone:
        if not alone:
            raise ValueError(
                f"another run executes notebooks at scale {scale} in this folder; wait for its end or stop it"
            )
        runner.sweep(folder)
        for summary in (False, True):  # summaries read what the others stored
            plans = _plans([source for source in chosen if source.summary is summary], given, root, sources)
            results |= {plan.result.name: plan.result for plan in plans}
            for plan in plans:
                if plan.result.status == "refused":
                    say(f"REFUSED {plan.result.why}")
            waiting = [plan for plan in plans if plan.result.status == "out of date"]
            if waiting and environment.flag("RELSTAB_NO_RUN"):
                results |= _forbidden(waiting, say)
            elif waiting:
                results |= _run(waiting, jobs, timeout, root, say)
    _summarise(results.values(), scale, say)
    return [results[source.name] for source in chosen]


def status(
    scale: str = "tiny",
    names: Iterable[str] | None = None,
    *,
    ran: Iterable[str] = (),
    root: str | Path = ROOT,
    sources: Sequence = SOURCES,
) -> list[Result]:
    """The same list, nothing run: each "current", "refused", or "out of date" with the reason in `why`.

    Args:
        ran: notebooks that were executed just now. Results stored since do not put these out of date, so that a
            study which goes on elsewhere does not keep the book from being rendered.
    """
    chosen = notebook.select(notebook.discover(root), names)
    given = {"scale": scales.check(scale)}
    groups = ([source for source in chosen if source.summary is summary] for summary in (False, True))
    plans = [plan for group in groups for plan in _plans(group, given, root, sources, ran)]
    found = {plan.result.name: plan.result for plan in plans}
    return [found[source.name] for source in chosen]


def _folder(root: str | Path, scale: str) -> Path:
    return Path(root).resolve() / "build" / "executed" / scale


def _plans(
    group: list[notebook.Source], given: dict, root: str | Path, sources: Sequence, ran: Iterable[str] = ()
) -> list[_Plan]:
    """A plan for each source of one kind (all summaries or none)."""
    if not group:
        return []
    scale = given["scale"]
    shared, studies = fingerprint.surroundings(root, sources=sources), reach.Studies(sources)

    def own(source, cells):
        code = "\n".join(cell.source for cell in notebook.code_cells(cells))
        names = None if source.summary else studies.behind(code)
        return fingerprint.studied(root, scale, studies, names, summary=source.summary)

    folder = _folder(root, scale)
    return [_plan(source, given, shared, own, folder / f"{source.name}.ipynb", source.name in ran) for source in group]


def _plan(
    source: notebook.Source, given: dict, shared: dict, own: Callable[..., dict[str, str]], target: Path, ran: bool
) -> _Plan:
    result = Result(source.name, "current", "", 0.0, target, target.with_suffix(".log"))
    try:
        cells = notebook.read(source)
        notebook.check(cells, source, given)
    except ValueError as error:
        return _Plan(replace(result, status="refused", why=str(error)), None, given, {})
    parts = notebook.parts(cells, given) | shared | own(source, cells)
    record, defects = _stored(target, cells, given)
    seen = {name: record["parts"][name] for name in fingerprint.GROWING} if ran and record else {}
    why = defects or fingerprint.changed(record["parts"] if record else None, parts | seen)
    result = replace(
        result, why=why, status="out of date" if why else "current", seconds=record["seconds"] if record else 0.0
    )
    return _Plan(result, cells, given, parts)


def _stored(path: Path, cells: Any, given: dict) -> tuple[dict | None, str]:
    """The record in an executed notebook's metadata, and what is wrong with the notebook."""
    import nbformat

    try:
        stored = nbformat.read(path, as_version=4)
        record = {name: stored.metadata["relstab"][name] for name in ("parts", "seconds")}
        if not notebook.intact(stored):
            return None, "its executed copy is damaged"
    except FileNotFoundError:
        return None, ""
    except Exception:  # cut or damaged, each way with an exception of its own; then it counts for nothing
        return None, "its executed copy is damaged"
    if fingerprint.changed(record["parts"], record["parts"] | notebook.parts(cells, given)):
        return record, ""  # an older version of the code: of course it has other cells
    return record, "; ".join(notebook.problems(stored, cells, given))


def _forbidden(waiting: list[_Plan], say: Callable[[str], object]) -> dict[str, Result]:
    for plan in waiting:
        say(f"RELSTAB_NO_RUN is set, but {plan.result.name} would have to run: {plan.result.why}")
    return {plan.result.name: replace(plan.result, status="failed") for plan in waiting}


def _run(
    waiting: list[_Plan], jobs: int, timeout: float | int | None, root: str | Path, say: Callable[[str], object]
) -> dict[str, Result]:
    """Run the plans, the longest first, and report as they start and end."""
    queue = _longest_first(waiting, root)
    began, total, done = time.monotonic(), len(queue), {}
    running: dict[subprocess.Popen, tuple[_Plan, float]] = {}

    def tell(word, plan, rest):
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        say(f"[{minutes}:{seconds:02d}] {word:6} {plan.result.name}  {rest}")

    try:
        with executors.unwinding():
            while queue or running:
                while queue and len(running) < jobs:
                    plan = queue.pop(0)
                    running[_start(plan, root)] = (plan, time.monotonic())
                    tell("start", plan, f"({plan.result.why})")
                time.sleep(0.05)
                for process, (plan, start) in list(running.items()):
                    seconds = time.monotonic() - start
                    late = timeout is not None and seconds > timeout
                    if process.poll() is None and not late:
                        continue
                    if late:
                        runner.kill(process.pid)
                    process.wait()
                    result = _finish(plan, process.returncode, seconds, f"no end after {timeout:g} s" if late else "")
                    done[result.name] = result
                    del running[process]
                    tell("done" if result.ok else "FAILED", plan, _outcome(result, len(done), total))
    finally:
        for process, (plan, _) in running.items():
            runner.kill(process.pid)
            process.wait()
            plan.discard()
    return done


def _longest_first(waiting: list[_Plan], root: str | Path) -> list[_Plan]:
    """The plans by what they took last time or, if that was more, usually take (notebooks/seconds.toml).

    Those of which nothing is known come first: a long one that starts last runs alone.
    """
    path = Path(root) / "notebooks" / "seconds.toml"
    usual = tomllib.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return sorted(waiting, key=lambda plan: -(max(plan.result.seconds, usual.get(plan.result.name, 0)) or float("inf")))


def _start(plan: _Plan, root: str | Path) -> subprocess.Popen:
    import nbformat

    plan.raw.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(plan.cells, plan.raw)
    plan.files.mkdir()
    return runner.start(
        plan.raw, plan.temporary, plan.result.log, plan.given, root=Path(root).resolve(), downloads=plan.files
    )


def _finish(plan: _Plan, code: int | None, seconds: float, late: str) -> Result:
    """Promote the temporary notebook if every cell completed; else leave what was there before."""
    import nbformat

    result = replace(plan.result, seconds=round(seconds, 1))
    try:
        if late or code:
            return replace(result, status="failed", why=late or f"papermill ended with exit code {code}")
        executed = nbformat.read(plan.temporary, as_version=4)
        defects = notebook.problems(executed, plan.cells, plan.given)
        if defects:
            return replace(result, status="failed", why="; ".join(defects))
        head, dirty = origin.commit()
        executed.metadata["relstab"] = {
            "key": fingerprint.key(plan.parts),
            "parts": plan.parts,
            "scale": plan.given["scale"],
            "seconds": result.seconds,
            "finished": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "device": origin.cpu(),
            "commit": head and head[:7] + (" with local changes" if dirty else ""),
            "versions": fingerprint.versions(),
            "downloads": downloads.packed(downloads.kept(plan.files), executed),
        }
        atomic.write(result.executed, notebook.sealed(executed).encode())
        return replace(result, status="executed")
    finally:
        plan.discard()


def _outcome(result: Result, number: int, total: int) -> str:
    if result.ok:
        return f"{result.seconds:.0f} s  ({number} of {total})"
    lines = result.log.read_text(errors="replace").splitlines()[-TAIL:]
    tail = "\n".join(f"    | {line}" for line in lines)
    return f"{result.why}  ({number} of {total})\n    the last lines of {result.log}:\n{tail}"


def _summarise(results: Collection[Result], scale: str, say: Callable[[str], object]) -> None:
    count = {
        word: sum(result.status == word for result in results) for word in ("current", "executed", "failed", "refused")
    }
    say(f"{len(results)} notebooks at scale {scale}: " + ", ".join(f"{n} {word}" for word, n in count.items() if n))
