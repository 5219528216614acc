"""A study that takes no time, for tests of the store; also a command that the fault tests start and kill.

Each unit notes what it does in the file TOY_LOG, one atomic line an event, so that tests can count runs
across processes: `start SEED PID`, `step SEED NUMBER`, `end SEED PID`.
"""

import json
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from relstab.store import atomic, records, units

DATA = {"digest": "0123"}


@dataclass(frozen=True)
class Toy:
    """`steps` random numbers, one checkpoint each; resumes at the step it was killed in."""

    study: ClassVar[str] = "toy"
    version: ClassVar[int] = 1
    scale: str = "laptop"
    seed: int = 0
    steps: int = 2
    pause: float = 0.0
    trouble: str = ""

    def data_digest(self):
        if DATA["digest"] is None:
            raise FileNotFoundError("toy data were looked for and are not there")
        return DATA["digest"]

    def run(self, *, workspace=None, progress=None, device="cpu"):
        note(f"start {self.seed} {os.getpid()}")
        if self.trouble == "error":
            raise ZeroDivisionError(f"unit {self.seed} went wrong")
        again = (workspace / "again").exists()
        (workspace / "again").touch()
        if self.trouble == "interrupt" and not again:
            raise KeyboardInterrupt
        if self.trouble == "die" or (self.trouble == "die once" and not again):
            os._exit(9)
        state = workspace / "rows.json"
        rows = json.loads(state.read_bytes()) if state.exists() else []
        while len(rows) < self.steps:
            time.sleep(self.pause)
            last = rows[-1]["value"] if rows else 0.0
            draw = random.Random(f"{self.seed} {len(rows)}").random()
            rows.append({"step": len(rows), "value": last / 3 + draw})
            atomic.write(state, json.dumps(rows).encode())
            note(f"step {self.seed} {len(rows)}")
        note(f"end {self.seed} {os.getpid()}")
        return rows


def configs(scale):
    return [Toy(scale=scale, seed=seed) for seed in range({"tiny": 2, "laptop": 4}.get(scale, 3))]


def note(line):
    descriptor = os.open(os.environ["TOY_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def log(event=None):
    """The noted lines as lists of words, of one event or all."""
    path = Path(os.environ["TOY_LOG"])
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if event in (None, line[0])]


def isolate(folder, monkeypatch):
    """A store, published results and a log of a test's own: the folder.

    The code counts as committed, so that results can be published while it is being worked on.
    """
    from relstab.store import origin

    monkeypatch.setattr(origin, "commit_of", lambda digest: "c" * 40)

    monkeypatch.setenv("RELSTAB_STORE", str(folder / "store"))
    monkeypatch.setenv("RELSTAB_RESULTS", str(folder / "results"))
    monkeypatch.setenv("TOY_LOG", str(folder / "log"))
    monkeypatch.delenv("RELSTAB_NO_RUN", raising=False)
    return folder


def files(folder):
    """Every file below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def threads():
    """Threads that a worker process uses: torch's, and what libraries read."""
    import torch

    return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]


def visible_gpu(pause, die_once=False):
    """The GPU that this worker sees; after `die_once` of the worker that took its place."""
    time.sleep(pause)
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES")
    marker = Path(os.environ["TOY_LOG"] + f"-died-{gpu}")
    if die_once and not marker.exists():
        marker.touch()
        os._exit(9)
    return gpu


def write_forever(root):
    """Store the same unit again and again, each time with all rows of one round."""
    unit = units.Unit.of(Toy())
    while True:
        round_ = time.monotonic_ns()
        rows = [{"step": step, "round": round_} for step in range(400)]
        units.store(records.build(unit.config, unit.key, rows, {"finished": "now"}), unit, root)


def run_all(count, steps, pause):
    from relstab import store

    store.get_or_run([Toy(seed=seed, steps=int(steps), pause=float(pause)) for seed in range(int(count))])


def hammer(processes, count):
    """`processes` forked writers that ask for the same units at the same moment; the number that fail."""
    from relstab import store

    wait, go = os.pipe()
    children = []
    for _ in range(int(processes)):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(wait, 1)  # returns when the parent closes its end: all start together
            frame = store.get_or_run([Toy(seed=seed, pause=0.01) for seed in range(int(count))])
            os._exit(0 if frame.missing == 0 and len(frame) == 2 * int(count) else 1)
        children.append(child)
    os.close(go)
    sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))


if __name__ == "__main__":
    {"write": write_forever, "run": run_all, "hammer": hammer}[sys.argv[1]](*sys.argv[2:])
