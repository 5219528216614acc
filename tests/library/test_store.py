"""The store: what is found, what runs, what is published."""

import os
from concurrent.futures import ThreadPoolExecutor

import _toy_study as toy
import numpy as np
import pandas as pd
import pytest
from _toy_study import Toy

from relstab import store
from relstab.store import executors, origin, records


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    return toy.isolate(tmp_path, monkeypatch)


# running and finding


def test_rows_follow_the_configs_and_run_once():
    configs = [Toy(seed=2), Toy(seed=0), Toy(seed=2), Toy(seed=1, steps=1)]
    frame = store.get_or_run(configs)
    assert frame["seed"].tolist() == [2, 2, 0, 0, 1]
    assert frame["step"].tolist() == [0, 1, 0, 1, 0]
    assert list(frame.columns) == ["scale", "seed", "steps", "pause", "trouble", "step", "value"]
    assert frame.missing == 0
    assert frame.units == 3
    pd.testing.assert_frame_equal(store.get_or_run(configs), frame)
    assert [line[1] for line in toy.log("start")] == ["2", "0", "1"]


def test_nothing_is_left_beside_the_results(place):
    store.get_or_run([Toy()])
    assert len(toy.files(place / "store")) == 1
    assert not list((place / "store" / ".work").rglob("rows.json"))


def test_units_without_data_are_left_out_and_said_so(monkeypatch):
    monkeypatch.setattr(Toy, "require", _absent_for_odd_seeds, raising=False)
    configs = [Toy(seed=seed) for seed in range(5)]
    plan = store.plan(configs)
    assert (plan.found, plan.missing, plan.lacking) == (0, 3, {"no images for odd seeds": 2})
    assert str(plan).startswith("5 units: 0 found, 3 to run")
    assert str(plan).endswith("2 left out for want of data")
    lines = []
    frame = store.get_or_run(configs, progress=lines.append)
    assert sorted(set(frame["seed"])) == [0, 2, 4]
    assert frame.missing == 2
    assert lines[0] == "2 units left out: no images for odd seeds"
    with pytest.raises(FileNotFoundError, match="no images for odd seeds"):
        store.get_or_run(configs)


def _absent_for_odd_seeds(config, *, download=True):
    if config.seed % 2:
        raise FileNotFoundError("no images for odd seeds")


def test_of_two_encodings_what_is_found_counts_then_what_is_present(monkeypatch, place):
    """Seeds 0 and 10 stand for the original and its copy."""
    present, public = set(), {0}

    def require(config, *, download=True):
        if config.seed not in present and not (download and config.seed in public):
            raise FileNotFoundError(f"images {config.seed} are missing")

    monkeypatch.setattr(Toy, "require", require, raising=False)
    monkeypatch.setattr(Toy, "alternatives", lambda self: (Toy(seed=10),) if self.seed == 0 else (), raising=False)

    def chosen():
        return store.load(toy.configs("laptop"))["seed"].unique().tolist()

    monkeypatch.setattr(toy, "configs", lambda scale: [Toy()] if scale == "laptop" else [])
    assert store.plan([Toy()]).missing == 1  # neither is here, the original can be fetched
    present.add(10)
    assert store.get_or_run([Toy()])["seed"].unique().tolist() == [10]
    present.add(0)
    assert chosen() == [10]  # found, though the better one could be run
    monkeypatch.setenv("RELSTAB_STORE", str(place / "new"))
    assert store.get_or_run([Toy()])["seed"].unique().tolist() == [0]
    assert chosen() == [0]


def test_no_run_proves_that_everything_was_found(monkeypatch):
    store.get_or_run([Toy()])
    monkeypatch.setenv("RELSTAB_NO_RUN", "1")
    assert len(store.get_or_run([Toy()])) == 2
    sentence = r"would run 1 units of study 'toy' at scale 'laptop' \(seed5: never run\), but RELSTAB_NO_RUN is set"
    with pytest.raises(RuntimeError, match=sentence):
        store.get_or_run([Toy(), Toy(seed=5)])
    assert len(toy.log("start")) == 1


def test_why_a_unit_would_run(monkeypatch, place):
    assert store.why(Toy()) == "never run"
    store.get_or_run([Toy()])
    assert store.why(Toy()) == "in the working store"
    monkeypatch.setitem(toy.DATA, "digest", "x")
    assert store.why(Toy()) == "other data"
    monkeypatch.setitem(toy.DATA, "digest", "0123")
    monkeypatch.setattr(Toy, "version", 2)
    assert store.why(Toy()) == "study version 2, results are of 1"
    assert store.plan([Toy()]).missing == 1
    monkeypatch.setattr(Toy, "version", 1)
    [path] = (place / "store" / "laptop" / "toy").iterdir()
    path.write_text("{")
    assert store.why(Toy()) == "damaged file"


def test_a_result_is_found_by_its_key_whatever_its_file_is_called(place, monkeypatch):
    frame = store.get_or_run([Toy(seed=3)])
    [path] = toy.files(place / "store")
    path.rename(path.with_name(f"an-older-name-{path.name[-17:]}"))
    monkeypatch.setenv("RELSTAB_NO_RUN", "1")
    pd.testing.assert_frame_equal(store.get_or_run([Toy(seed=3)]), frame)


def test_plan_counts_and_sums_the_cost(monkeypatch):
    store.get_or_run([Toy()])
    configs = [Toy(), Toy(seed=1), Toy(seed=2), Toy(seed=2)]
    assert str(store.plan(configs)) == "3 units: 1 found, 2 to run"
    monkeypatch.setattr(Toy, "cost_minutes", property(lambda toy: 1.5 * toy.seed), raising=False)
    assert store.plan(configs) == store.Plan(1, 2, 4.5)
    assert str(store.plan(configs)) == "3 units: 1 found, 2 to run, about 4.5 minutes"
    assert str(store.Plan(0, 3, 300.0)) == "3 units: 0 found, 3 to run, about 5 hours"


def test_a_row_may_not_contradict_its_config(monkeypatch):
    monkeypatch.setattr(Toy, "run", lambda self, **_: [{"seed": 99, "value": 1.0}])
    with pytest.raises(RuntimeError, match="gives 'seed' the value 99, but it is a field of the config"):
        store.get_or_run([Toy(seed=3)])


def test_progress_is_told_unit_by_unit():
    lines = []
    store.get_or_run([Toy(seed=0), Toy(seed=1)], progress=lines.append)
    assert len(lines) == 2
    assert lines[0].startswith("[1/2] toy default: 0 s, about ")
    assert lines[1] == "[2/2] toy seed1: 0 s"


class Job:
    """What submitit gives back: no Future, but done(), result() and cancel()."""

    def __init__(self, future):
        self.done, self.result, self.cancel = future.done, future.result, future.cancel


class Jobs:
    def __init__(self, pool):
        self.pool = pool

    def submit(self, function, *arguments):
        return Job(self.pool.submit(function, *arguments))


@pytest.mark.parametrize("wrap", [lambda pool: pool, Jobs])
def test_any_executor_gives_the_same_rows(wrap, tmp_path, monkeypatch):
    configs = [Toy(seed=seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        frame = store.get_or_run(configs, wrap(pool))
    assert sorted(line[1] for line in toy.log("start")) == list("012345")
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path / "another"))
    pd.testing.assert_frame_equal(store.get_or_run(configs), frame)


def test_processes_share_the_work_and_have_one_thread():
    configs = [Toy(seed=seed) for seed in range(4)]
    with executors.executor(jobs=2) as pool:
        frame = store.get_or_run(configs, pool)
        assert pool.submit(toy.threads).result() == (1, "1")
    assert frame["seed"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert str(os.getpid()) not in {line[2] for line in toy.log("start")}
    pd.testing.assert_frame_equal(store.get_or_run(configs), frame)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_a_senseless_number_of_workers(workers, unchecked):
    with pytest.raises(ValueError, match=r"workers is .*; it must be a whole number of processes, at least 1"):
        executors.processes(workers)


def test_results_of_a_worker_that_does_not_see_the_store(monkeypatch, place):
    """A cluster node with a disk of its own stores there; the caller stores what comes back."""

    class Elsewhere:
        def submit(self, function, unit, root, *rest):
            with ThreadPoolExecutor(1) as pool:
                return pool.submit(function, unit, str(place / "node"), *rest)

    store.get_or_run([Toy()], Elsewhere())
    assert store.why(Toy()) == "in the working store"


# published results


def test_publish_copies_once_rounds_and_is_found(place, monkeypatch):
    frame = store.get_or_run(toy.configs("laptop"))
    assert store.publish(toy.configs("laptop")) == 4
    paths = toy.files(place / "results")
    assert len(paths) == 4
    assert all(path.parent == place / "results" / "laptop" / "toy" for path in paths)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    assert store.publish(toy.configs("laptop")) == 4
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in toy.files(place / "results")}
    monkeypatch.setenv("RELSTAB_STORE", str(place / "empty"))
    monkeypatch.setenv("RELSTAB_NO_RUN", "1")
    shown = store.load(toy.configs("laptop"))
    np.testing.assert_allclose(shown["value"], frame["value"], rtol=5e-7)
    assert all(value == float(f"{value:.7g}") for value in shown["value"])
    assert store.why(Toy()) == "published"
    assert not (place / "empty").exists()
    table = store.provenance(toy.configs("laptop"))
    assert len(table) == 4
    assert store.provenance(toy.configs("paper")).empty
    assert list(store.provenance(toy.configs("paper")).columns) == list(table.columns)
    assert set(table["where"]) == {"published"}
    assert {"unit", "key", "seconds", "device", "torch", "commit"} <= set(table.columns)


def test_published_means_traceable(place, monkeypatch):
    """Rows of code that is in no commit stay where they are; the others are copied and name their commit."""
    store.get_or_run([Toy(seed=0)])
    monkeypatch.setattr(origin, "code", lambda: "0123456789ab")
    store.get_or_run([Toy(seed=1)])
    monkeypatch.setattr(origin, "commit_of", {"0123456789ab": "d" * 40}.get)
    with pytest.raises(ValueError, match=r"1 results were not published, the other 1 were.*no commit.*\(default\)"):
        store.publish(toy.configs("laptop"))
    (path,) = toy.files(place / "results")
    record = records.loads(path.read_bytes())
    assert record["config"]["seed"] == 1
    assert (record["provenance"]["commit"], record["provenance"]["dirty"]) == ("d" * 40, False)


def test_a_result_that_cannot_be_traced_is_replaced_by_an_equal_one(place, monkeypatch):
    store.get_or_run([Toy(seed=0)])
    store.publish(toy.configs("laptop"))
    (path,) = toy.files(place / "results")
    record = records.loads(path.read_bytes())
    record["provenance"] |= {"dirty": True, "commit": "e" * 40}
    path.write_bytes(records.dumps(record))
    store.publish(toy.configs("laptop"))
    source = records.loads(path.read_bytes())["provenance"]
    assert (source["commit"], source["dirty"]) == ("c" * 40, False)


def test_what_is_published_stays_without_the_working_store(place, monkeypatch):
    store.get_or_run([Toy(seed=0)])
    store.publish(toy.configs("laptop"))
    monkeypatch.setenv("RELSTAB_STORE", str(place / "empty"))
    monkeypatch.setattr(origin, "commit_of", lambda digest: None)
    assert store.publish(toy.configs("laptop")) == 1


def test_results_of_an_older_version_stay_published_and_are_not_found(place, monkeypatch):
    configs = toy.configs("gpu")
    store.get_or_run(configs)
    store.publish(configs)
    monkeypatch.setattr(Toy, "version", 2)
    assert store.load(configs).missing == 3
    store.get_or_run(configs)
    assert store.publish(configs) == 3
    assert len(toy.files(place / "results")) == 6
    assert store.load(configs).missing == 0


def test_of_configs_only_those_with_results_are_published(place):
    store.get_or_run([Toy(seed=1)])
    assert store.publish(toy.configs("laptop")) == 1
    assert store.publish([]) == 0
    assert len(toy.files(place / "results")) == 1


def test_published_results_show_without_the_data(place, monkeypatch):
    frame = store.get_or_run(toy.configs("laptop"))
    monkeypatch.setitem(toy.DATA, "digest", None)
    pd.testing.assert_frame_equal(store.load(toy.configs("laptop")), frame)
    assert len(store.get_or_run([Toy(seed=1)])) == 2
    with pytest.raises(FileNotFoundError, match="toy data were looked for"):
        store.get_or_run([Toy(seed=77)])
    monkeypatch.setattr(Toy, "version", 2)
    assert store.load(toy.configs("laptop")).missing == 4


def test_an_empty_store_never_asks_for_data(monkeypatch):
    monkeypatch.setattr(Toy, "data_digest", lambda self: pytest.fail("the data were opened"))
    frame = store.load(toy.configs("paper"))
    assert frame.empty
    assert frame.missing == 3
    assert store.plan(toy.configs("paper")).missing == 3
