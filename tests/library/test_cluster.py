"""A real local dask cluster: two worker processes, one of them killed in the middle of a run."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import _toy_study as toy
import pandas as pd
import pytest
from _toy_study import Toy

from relstab import store
from relstab.store import executors

pytestmark = pytest.mark.cluster
HERE = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    toy.isolate(tmp_path, monkeypatch)


@pytest.fixture
def cluster(tmp_path):
    """The scheduler's address and the processes of two workers with one thread and one GPU (in name) each."""
    pytest.importorskip("distributed")
    paths = os.pathsep.join([str(HERE.parent), str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    file = tmp_path / "scheduler.json"

    def dask(*arguments):
        command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(file)]
        return subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    processes = [dask("scheduler", "--port", "0", "--host", "127.0.0.1", "--no-dashboard")]
    worker = "worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--resources", "GPU=1"
    processes += [dask(*worker), dask(*worker)]
    yield file, processes[1:]
    for process in reversed(processes):
        process.kill()
        process.wait()


def address(file):
    end = time.monotonic() + 60
    while not file.exists() or not file.read_text().strip():
        assert time.monotonic() < end, "no scheduler came up"
        time.sleep(0.05)
    return json.loads(file.read_text())["address"]


def test_a_killed_worker_loses_nothing_and_repeats_nothing(cluster, tmp_path, monkeypatch):
    file, workers = cluster
    configs = [Toy(seed=seed, steps=4, pause=0.08) for seed in range(14)]
    killed = []

    def kill_in_mid_run():
        """Wait until both workers have finished a unit, then kill one that is in the middle of another."""
        while not killed:
            time.sleep(0.005)
            ended = {line[1]: line[2] for line in toy.log("end")}
            fresh = {line[2]: line[1] for line in toy.log("start") if ["step", line[1], "2"] not in toy.log()}
            for worker in workers:
                if len(set(ended.values())) == 2 and str(worker.pid) in fresh:
                    worker.kill()
                    worker.wait()
                    killed.append((fresh[str(worker.pid)], set(ended)))
                    return

    with executors.executor(scheduler=address(file), gpus=1) as pool:
        watcher = threading.Thread(target=kill_in_mid_run, daemon=True)
        watcher.start()
        frame = store.get_or_run(configs, pool)
    watcher.join()
    [(victim, finished)] = killed
    assert frame.missing == 0
    assert len(frame) == 14 * 4
    starts = [line[1] for line in toy.log("start")]
    assert sorted(set(starts), key=int) == [str(seed) for seed in range(14)]
    twice = {seed for seed in starts if starts.count(seed) > 1}
    assert twice == {victim}, "only the dead worker's unit runs again"
    assert starts.count(victim) == 2
    assert sorted(line[1] for line in toy.log("end")) == sorted(str(seed) for seed in range(14))
    assert len(finished) >= 2
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path / "alone"))
    alone = store.get_or_run([Toy(seed=seed, steps=4, pause=0.08) for seed in (0, int(victim))])
    expected = frame[frame["seed"].isin([0, int(victim)])].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, expected)


def test_no_scheduler_answers():
    pytest.importorskip("distributed")
    with (
        pytest.raises(ConnectionError, match=r"scheduler is 'tcp://127\.0\.0\.1:1', but no dask"),
        executors.connect("tcp://127.0.0.1:1", timeout=0.3),
    ):
        pass


def test_what_is_no_address():
    pytest.importorskip("distributed")
    with pytest.raises(ValueError, match="it must be an address like"), executors.connect("somewhere"):
        pass
    with pytest.raises(ValueError, match="gpus is 1, but only the workers"), executors.executor(gpus=1):
        pass


def test_dask_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(ModuleNotFoundError, match=r"not installed; pip install 'relstab\[cluster\]'"),
        executors.connect("tcp://127.0.0.1:1"),
    ):
        pass
