"""Ten kills of a study of a few seconds; `python -m tests.library.kills` does hundreds of a real one."""

import os
import sys
from pathlib import Path

import kills
import pytest

HERE = Path(__file__).parent
CODE = """
from _toy_study import Toy
from relstab import store
from relstab.store import executors
if __name__ == "__main__":
    with executors.executor(jobs=2) as pool:
        store.get_or_run([Toy(seed=seed, steps=20, pause=0.02) for seed in range(8)], pool)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ten_kills(tmp_path):
    paths = os.pathsep.join([str(HERE / "light"), str(HERE.parent), str(HERE.parents[1]), *filter(None, sys.path)])
    faults = kills.Faults(CODE, tmp_path, environment={"PYTHONPATH": paths, "TOY_LOG": str(tmp_path / "toy.log")})
    lines = []
    finished = faults.run(10, say=lines.append, longest=1.5)  # of the two seconds that its units take
    assert finished >= 1 and sum(faults.ways.values()) == 10
    assert sum(count for way, count in faults.ways.items() if way in kills.WAYS) >= 5, lines
