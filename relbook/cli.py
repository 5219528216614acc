"""The verbs of the command `relstab` that need a checkout: run | study | status | claims | book | bench."""

import argparse
import json
import math
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path

from relbook import scales


def add_verbs(verb: Callable) -> None:
    """Declare the book's verbs; `verb(name, function, text)` makes the parser of one."""

    def scaled(sub, default="tiny"):
        sub.add_argument(
            "--scale",
            default=default,
            metavar="SCALE",
            help=f"{', '.join(scales.SCALES)} (default: {default or 'the largest with results'})",
        )

    run = verb("run", _run, "execute the notebooks with papermill")
    run.add_argument("names", nargs="*", metavar="NAME", help="notebooks, by any part of their path (default: all)")
    book = verb("book", _book, "execute what changed and render the book as HTML")
    book.add_argument(
        "--only", action="append", metavar="NAME", help="re-execute only notebooks whose path contains NAME"
    )
    for sub in (run, book):
        scaled(sub)
        sub.add_argument("--jobs", type=int, default=2, metavar="N", help="notebooks executed at a time (default: 2)")

    study = verb("study", _study, "compute the missing units of a study; stop it and start it again at will")
    study.add_argument("name", metavar="STUDY", help="a study, as listed by `relstab status`")
    scaled(study)
    study.add_argument("--jobs", type=int, default=1, metavar="N", help="processes on this machine (default: 1)")
    study.add_argument(
        "--scheduler", metavar="tcp://HOST:PORT", help="a dask scheduler that spreads the units over its workers"
    )
    study.add_argument(
        "--gpus", type=int, default=0, metavar="N", help="dask resource GPU that each unit takes (default: 0)"
    )
    study.add_argument("--budget", type=float, metavar="MINUTES", help="start no new unit after this time")
    study.add_argument("--dry-run", action="store_true", help="print what would run and its cost, and stop")
    study.add_argument("--publish", action="store_true", help="copy the finished rows to results/, to be committed")

    study.add_argument(
        "--verify", action="store_true", help="compute published units again and compare, the quickest first"
    )

    status = verb("status", _status, "what exists, what is missing and what it would cost")
    status.add_argument("--units", action="store_true", help="one line per unit, with machine and wall time")

    claims = verb("claims", _claims, "the papers' statements beside our measurements, with verdicts")
    scaled(claims, default=None)
    claims.add_argument("--paper", metavar="PAPER", help="only the claims of one paper, e.g. petrini2021")
    claims.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    claims.add_argument("--all", action="store_true", help="with the rows that newer ones supersede")
    claims.add_argument(
        "--units", nargs="+", metavar="ID", help="only list the networks, sizes and seeds that enter these claims"
    )

    bench = verb("bench", _bench, "run a benchmark of a source checkout and write its table")
    bench.add_argument("name", nargs="?", metavar="NAME", help="a benchmark (default: list them)")


def _run(options: argparse.Namespace) -> int | None:
    from relbook.press import execute

    results = execute.execute(names=options.names or None, scale=scales.check(options.scale), jobs=options.jobs)
    return 0 if all(result.ok for result in results) else 1


def _book(options: argparse.Namespace) -> int | None:
    from relbook.press import execute, render

    results = execute.execute(names=options.only, scale=scales.check(options.scale), jobs=options.jobs)
    if not all(result.ok for result in results):
        return 1
    page = render.build(options.scale, options.only, ran={result.name for result in results})
    if page is None:
        return 1
    print(f"book: {page}")


def _study(options: argparse.Namespace) -> int | None:
    from relbook import registry
    from relstab import store
    from relstab.store import executors

    configs = registry.configs(options.name, scales.check(options.scale))
    if options.verify:
        return _verify(options)
    plan = store.plan(configs)
    print(plan)
    for want, count in plan.lacking.items():
        print(f"{count} units left out: {want}")
    if options.dry_run:
        return 0
    with executors.executor(jobs=options.jobs, scheduler=options.scheduler, gpus=options.gpus) as executor:
        try:
            rows = store.get_or_run(configs, executor, budget_minutes=options.budget, progress=_say)
        except RuntimeError as failures:  # units that failed; the others are stored
            print("\n".join([f"relstab: {failures}", *getattr(failures, "__notes__", [])]), file=sys.stderr)
            return 1
    if options.publish:
        print(f"published {registry.publish(options.name, options.scale)} units")
        if options.name == "zoo":
            from relbook.studies.zoo import compare

            compare.write(registry.shown("zoo", "laptop", needs=compare.networks))
    print(f"{options.name} at scale {options.scale}: {len(rows)} rows, {rows.missing} units left")
    return 1 if rows.missing else 0


def _verify(options: argparse.Namespace) -> int | None:
    """Compare published units with what they give now, until the budget is spent; exit code 1 if one differs."""
    from relbook import audit

    end = math.inf if options.budget is None else time.monotonic() + 60 * options.budget
    units = sorted(audit.published(options.name, options.scale), key=lambda unit: unit[1]["provenance"]["seconds"])
    bad = done = 0
    for config, record in units:
        if time.monotonic() > end:
            break
        comparison = audit.verify(config, record)
        _say(str(comparison))
        done, bad = done + 1, bad + (not comparison.ok)
    print(
        f"{options.name} at scale {options.scale}: {done} of {len(units)} published units computed again, {bad} differ"
    )
    return 1 if bad else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _status(options: argparse.Namespace) -> int | None:
    from relbook import audit, registry
    from relstab import store

    lacking = {}
    for name in registry.names():
        for scale in scales.SCALES:
            plan = store.plan(registry.configs(name, scale))
            print(f"{name:20} {scale:7} {plan}")
            for commit, names in audit.changed(name, scale).items() if plan.found else ():
                what = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
                print(f"    rows of {commit[:10]}: code has changed since: {what}")
            for want in plan.lacking:
                lacking.setdefault(want, []).append(f"{name} at {scale}")
            if options.units:
                units = store.provenance(registry.configs(name, scale))
                if len(units):
                    print(units.to_string(index=False))
    for want, where in lacking.items():
        print(f"missing on this machine, for {', '.join(where)}: {want}")


def _claims(options: argparse.Namespace) -> int | None:
    from relbook import papers, shown

    if options.units:
        for claim in papers.by_id(*options.units):
            for scale, units in papers.populations(claim, scale=options.scale).items():
                print("\n    ".join([f"{claim.id} at scale {scale}: {len(units)} entered", *units]))
        return
    lines = papers.evaluate(papers.ledger(options.paper, superseded=options.all), scale=options.scale).to_dict(
        "records"
    )
    if options.json:
        print(json.dumps(lines, indent=1, ensure_ascii=False))
        return
    for line in lines:
        print(f"{line['verdict'] or 'superseded':11} {line['id']}\n    {line['statement']}")
        print(f"    paper {line['said']} | ours {shown.measured(line)} | accepted {shown.accepted(line)}")
        if line["reason"]:
            print(f"    why: {line['reason']}")
    print(f"Of the papers' statements: {shown.counted(lines)}.")


def _bench(options: argparse.Namespace) -> int | None:
    folder = Path(__file__).parent.parent / "benchmarks"
    known = sorted(path.stem for path in folder.glob("[!_]*.py"))
    if options.name is None:
        print("\n".join(known) or "no benchmarks here: they come with a source checkout")
        return
    if options.name not in known:
        raise ValueError(f"benchmark is {options.name!r}; it must be one of {', '.join(known)}")
    sys.path.insert(0, str(folder))
    runpy.run_path(str(folder / f"{options.name}.py"), run_name="__main__")
