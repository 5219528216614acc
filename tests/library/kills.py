"""Kill `relstab study NAME --jobs 2` at random moments, again and again; nothing may be lost, wrong or left behind.

    python -m tests.library.kills --count 200            # an hour or two; from the root of a checkout
    python -m tests.library.kills --count 40 --study diffeomorphisms

A kill is SIGKILL to the command, to its whole process group or to one of its workers, or SIGTERM or SIGINT to the
command. After every one of them

- each file of the store is a whole record, or none (a temporary file, which the next run sweeps);
- no process of the run is left after `PATIENCE` seconds.

A study that ends has the rows of an uninterrupted one, bit for bit; then the store is emptied and the next kills
begin anew. `test_kills.py` does ten of them on a study of a few seconds.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from relstab.store import records

PATIENCE = 20.0  # seconds until every process of a killed run must be gone
TIMES = ("seconds", "images_per_second")  # measured ones, in rows of the zoo: no two runs have the same
MARK = "RELSTAB_KILLS"  # environment variable by which its processes are known
WAYS = ("kill the command", "kill the group", "kill a worker", "SIGTERM", "SIGINT")
# SIGINT as in a terminal: a shell lets what runs in the background ignore it
PROLOGUE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "


def marked(token):
    """The processes of a run, other than zombies."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == token:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def gone(token, patience=PATIENCE):
    """The processes that are left after `patience` seconds, which are then ended."""
    end = time.monotonic() + patience
    while (left := marked(token)) and time.monotonic() < end:
        time.sleep(0.05)
    for process in left:
        process.kill()
    return left


def stored(root, field="rows"):
    """{name of a unit: its rows as JSON, without `TIMES`, or another field}; ValueError for what is no whole record."""
    found = {}
    for path in Path(root).glob("*/*/*.json"):
        if any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        record = records.loads(path.read_bytes())
        value = record[field]
        if field == "rows":
            value = [{key: row[key] for key in row if key not in TIMES} for row in value]
        found[path.relative_to(root).as_posix()] = json.dumps(value)
    return found


def newest(store):
    """When a unit last began, or wrote a checkpoint."""
    times = [0.0]
    for place, _, names in itertools.chain(os.walk(Path(store, ".locks")), os.walk(Path(store, ".work"))):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                times.append(os.stat(os.path.join(place, name)).st_mtime)
    return max(times)


class Faults:
    """One study, run and killed in a folder of its own.

    Args:
        code: Python that runs the study to its end; it gets the place of the store as the environment says.
        folder: an empty folder.
        environment: more variables for it.
    """

    def __init__(self, code, folder, *, seed=0, environment=None):
        self.code, self.folder, self.chance = code, Path(folder), random.Random(seed)
        self.environment = environment or {}
        self.serial = 0
        self.ways, self.ends = Counter(), Counter()
        self.resumed = 0  # units that were killed within and went on

    def start(self, store):
        """A run in a session of its own: (process, its mark)."""
        self.serial += 1
        token = f"{os.getpid()}-{self.serial}"
        environment = {**os.environ, **self.environment, MARK: token, "RELSTAB_STORE": str(store),
                       "RELSTAB_RESULTS": str(self.folder / "published"), "OMP_NUM_THREADS": "1"}  # fmt: skip
        with open(self.folder / "printed.log", "ab") as log:
            process = subprocess.Popen([sys.executable, "-c", PROLOGUE + self.code], env=environment, stdout=log,
                                       stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)  # fmt: skip
        return process, token

    def uninterrupted(self):
        """The rows of a run that nobody kills, and how long it took."""
        began = time.monotonic()
        process, token = self.start(self.folder / "whole")
        assert process.wait() == 0, f"the study itself fails: see {self.folder / 'printed.log'}"
        assert not gone(token), "a run that ended left processes"
        return stored(self.folder / "whole"), time.monotonic() - began

    def wait(self, process, store, seconds):
        """Until a moment at random: in one run of four since its start, else since a unit of it began."""
        began, working = time.time(), self.chance.random() < 0.25
        end = time.monotonic() + self.chance.uniform(0, seconds)
        while process.poll() is None and (not working or time.monotonic() < end):
            if not working and newest(store) > began:
                working, end = True, time.monotonic() + self.chance.uniform(0, seconds)
            time.sleep(0.01)
        return process.poll() is None

    def kill(self, process, token, way):
        """Do it; a worker may not be there yet, or no longer."""
        if way == "kill the group":
            os.killpg(process.pid, signal.SIGKILL)
        elif way == "kill a worker":
            workers = [other for other in marked(token) if other.pid != process.pid]
            if workers:
                self.chance.choice(workers).kill()
        else:
            number = {"SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}.get(way, signal.SIGKILL)
            process.send_signal(number)

    def run(self, count, say=print, longest=float("inf")):
        """`count` kills, each within `longest` seconds; AssertionError or ValueError where a promise is broken."""
        expected, seconds = self.uninterrupted()
        say(f"uninterrupted: {len(expected)} units in {seconds:.1f} s")
        seconds = min(seconds, longest)
        store, finished = self.folder / "store", 0
        ways = [way for _ in range(0, count, len(WAYS)) for way in self.chance.sample(WAYS, len(WAYS))]
        for number, way in enumerate(ways[:count]):
            before = stored(store)
            process, token = self.start(store)
            late = not self.wait(process, store, 1.1 * seconds)
            if not late:
                self.kill(process, token, way)
                if way == "kill a worker":  # the run goes on, with another worker, until it is told to end
                    time.sleep(self.chance.uniform(0, 0.3 * seconds))
                    process.poll() is None and process.send_signal(signal.SIGTERM)
            code = process.wait(60)
            left = gone(token)
            assert not left, f"{way}: {len(left)} processes were left after {PATIENCE:g} s"
            found = stored(store)
            wrong = [name for name, rows in found.items() if rows != expected.get(name)]
            assert not wrong, f"{way}: other rows than those of an uninterrupted run in {', '.join(wrong)}"
            assert set(before) <= set(found), f"{way}: finished units were lost"
            self.ways["ended before it was killed" if late else way] += 1
            self.ends[code] += 1
            say(f"{number + 1:4} {'too late' if late else way:16} exit {code:4} {len(found)} of {len(expected)} units")
            if found.keys() == expected.keys():
                finished += 1
                self.count_resumed(store)
                shutil.rmtree(store)
        process, token = self.start(store)
        assert process.wait() == 0 and not gone(token), "the last, unkilled run does not end well"
        assert stored(store) == expected, "the last run has other rows than an uninterrupted one"
        self.count_resumed(store)
        temporary = list(store.rglob("*.tmp"))
        assert not temporary, f"temporary files are left: {temporary}"
        say(
            f"{dict(self.ways)}; exit codes {dict(self.ends)}; {finished + 1} studies finished after kills, "
            f"{self.resumed} of their units were killed within and went on; all rows equal, no process left"
        )
        return finished + 1

    def count_resumed(self, store):
        """Add the units of a finished study that say of themselves that they were resumed."""
        self.resumed += sum(json.loads(text)["resumed"] for text in stored(store, "provenance").values())


def main(arguments=None):
    """Read the command line and run."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--count", type=int, default=200, metavar="N")
    options.add_argument("--study", default="zoo")
    options.add_argument("--scale", default="tiny")
    options.add_argument("--jobs", type=int, default=2, metavar="N")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--longest", type=float, default=20, metavar="SECONDS", help="until a kill (default: 20)")
    options = options.parse_args(arguments)
    words = ["study", options.study, "--scale", options.scale, "--jobs", str(options.jobs)]
    code = f"import sys; from relstab import cli\nif __name__ == '__main__': sys.exit(cli.main({words!r}))"
    with tempfile.TemporaryDirectory(prefix="relstab-kills-") as folder:
        faults = Faults(code, folder, seed=options.seed)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # takes its last run along
        try:
            faults.run(options.count, say=lambda line: print(line, flush=True), longest=options.longest)
        finally:
            gone(f"{os.getpid()}-{faults.serial}", patience=0)


if __name__ == "__main__":
    main()
