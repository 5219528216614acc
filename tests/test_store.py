"""The store: keys, the file format, what is found, what runs, what is published."""

import dataclasses
import getpass
import hashlib
import json
import math
import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import _toy_study as toy
import numpy as np
import pandas as pd
import pytest
import torch
from _toy_study import Toy
from hypothesis import given, settings
from hypothesis import strategies as st

from relstab import executors, provenance, records, scales, store, studies, units

GOLDEN = "1e7dd24afdc1d7cb44b43a79d013040f4f257c6c75b535f51ccc7b56d50dfdd1"  # SHA-256 of the JSON of test_golden_key


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("RELSTAB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    monkeypatch.delenv("RELSTAB_NO_RUN", raising=False)
    monkeypatch.setitem(studies.STUDIES, "toy", "_toy_study")
    return tmp_path


def files(root):
    return sorted(path for path in root.rglob("*") if path.is_file())


# keys


def test_golden_key():
    """Written out by hand: should it change, no published result would be found any more."""
    fields = '{"pause":0,"scale":"laptop","seed":0,"steps":2,"trouble":""}'
    assert store.key(Toy()) == hashlib.sha256(f'[1,"toy",1,{fields},"0123"]'.encode()).hexdigest() == GOLDEN


def test_key_depends_on_everything_it_must(monkeypatch):
    keys = {store.key(Toy()), store.key(Toy(seed=1)), store.key(Toy(scale="gpu")), store.key(Toy(pause=0.5))}
    monkeypatch.setitem(toy.DATA, "digest", "other data")
    keys.add(store.key(Toy()))
    monkeypatch.setattr(Toy, "version", 2)
    keys.add(store.key(Toy()))
    monkeypatch.setattr(Toy, "study", "toy2")
    keys.add(store.key(Toy()))
    monkeypatch.setattr(records, "KEY_FORMAT", records.KEY_FORMAT + 1)
    keys.add(store.key(Toy()))
    assert len(keys) == 8


def test_equal_configs_have_equal_keys_and_names():
    assert store.key(Toy(pause=1)) == store.key(Toy(pause=1.0))
    assert store.key(Toy(pause=-0.0)) == store.key(Toy(pause=0.0))
    assert store.key(Toy(seed=np.float64(2))) == store.key(Toy(seed=2))
    assert records.slug(Toy(pause=1)) == records.slug(Toy(pause=1.0)) == "pause1"


def test_slug_names_what_differs_from_the_defaults():
    assert records.slug(Toy()) == "default"
    assert records.slug(Toy(seed=3, pause=0.25, trouble="a b/c")) == "seed3-pause0.25-a_b_c"
    assert len(records.slug(Toy(trouble="x" * 500))) <= 72


@pytest.mark.parametrize("value", [{1, 2}, b"raw", math.nan, math.inf, np.int64(3), {3: 4}, 1j, [object()]])
def test_a_field_that_is_not_json_is_refused(value):
    with pytest.raises(TypeError, match=r"Toy\.seed is .*; a config may hold"):
        store.key(Toy(seed=value))


def test_what_is_no_config_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Nameless:
        scale: str = "tiny"

    with pytest.raises(TypeError, match="it must be an instance of a study's frozen config dataclass"):
        store.get_or_run([{"seed": 1}])
    with pytest.raises(TypeError, match=r"Nameless\.study is missing"):
        store.get_or_run([Nameless()])
    with pytest.raises(ValueError, match="scale is 'huge'; it must be one of"):
        store.get_or_run([Toy(scale="huge")])


# the file format

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5)
ROWS = st.lists(
    st.dictionaries(st.text("abc", min_size=1), SCALARS | st.lists(SCALARS, max_size=3), max_size=4), max_size=4
)


def same(a, b):
    """Equal including types, with NaN equal to NaN."""
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    return type(a) is type(b) and (a == b or (a != a and b != b))


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_rows_survive_the_file_exactly(rows):
    record = records.build(Toy(), "k" * 64, rows, {"finished": "now"})
    text = records.dumps(record)
    json.loads(text, parse_constant=pytest.fail)  # strict JSON: no NaN, no Infinity
    back = records.loads(text, "k" * 64)
    assert back == record
    assert same([records.thaw(row) for row in back["rows"]], rows)


def test_numpy_and_torch_values_become_numbers():
    row = {"a": np.float32(0.1), "b": np.arange(2), "c": torch.tensor([1.5, math.inf]), "d": np.bool_(True)}
    thawed = records.thaw(records.freeze(row, "row"))
    assert thawed == {"a": float(np.float32(0.1)), "b": [0, 1], "c": [1.5, math.inf], "d": True}
    with pytest.raises(TypeError, match="rows hold numbers, strings, None and lists"):
        records.freeze({"a": {"b": 1}}, "row")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_byte_is_a_miss_or_harmless(data):
    rows = [{"R": 0.1 * step, "n": step} for step in range(3)]
    record = records.build(Toy(seed=1), "k" * 64, rows, {"seconds": 1.25})
    text = bytearray(records.dumps(record))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] = data.draw(st.integers(0, 255))
    try:
        assert records.loads(bytes(text), "k" * 64) == record
    except ValueError as error:
        assert str(error).startswith("it")


def test_one_row_a_line_and_nothing_private(place):
    store.get_or_run([Toy(seed=7, steps=3)])
    [path] = [path for path in files(place / "store") if path.suffix == ".json"]
    assert path.relative_to(place / "store").as_posix() == (
        f"laptop/toy/seed7-steps3-{store.key(Toy(seed=7, steps=3))[:12]}.json"
    )
    lines = path.read_text().splitlines()
    assert sum(line.startswith('{"step"') for line in lines) == 3
    record = json.loads(path.read_text())
    assert {"key", "config", "provenance", "rows", "checksum"} <= record.keys()
    source = record["provenance"]
    assert source["scale"] == "laptop" and source["seed"] == 7 and source["resumed"] is False
    assert source["seconds"] >= 0 and source["python"] and source["numpy"] and source["relstab"] and source["device"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", source["finished"])
    assert re.fullmatch("[0-9a-f]{12}", source["code"])
    text = path.read_text()
    assert str(place) not in text and str(provenance.PACKAGE.parent) not in text
    assert platform.node() not in text and f'"{getpass.getuser()}"' not in text


def test_no_commit_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "relstab")
    assert provenance.commit.__wrapped__() == (None, None)


def test_commit_and_dirty_flag_of_a_checkout(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)

    (tmp_path / "relstab").mkdir()
    (tmp_path / "relstab" / "a.py").write_text("1\n")
    git("init", "-q")
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "relstab")
    assert provenance.commit.__wrapped__() == (None, None)  # no commit yet
    git("add", ".")
    git("commit", "-qm", "first")
    head, dirty = provenance.commit.__wrapped__()
    assert re.fullmatch("[0-9a-f]{40}", head) and dirty is False
    (tmp_path / "note").write_text("outside the package")
    assert provenance.commit.__wrapped__() == (head, False)
    (tmp_path / "relstab" / "b.py").write_text("2\n")
    assert provenance.commit.__wrapped__() == (head, True)


# running and finding


def test_rows_follow_the_configs_and_run_once():
    configs = [Toy(seed=2), Toy(seed=0), Toy(seed=2), Toy(seed=1, steps=1)]
    frame = store.get_or_run(configs)
    assert frame["seed"].tolist() == [2, 2, 0, 0, 1] and frame["step"].tolist() == [0, 1, 0, 1, 0]
    assert list(frame.columns) == ["scale", "seed", "steps", "pause", "trouble", "step", "value"]
    assert frame.attrs["missing"] == 0 and frame.attrs["units"] == 3
    pd.testing.assert_frame_equal(store.get_or_run(configs), frame)
    assert [line[1] for line in toy.log("start")] == ["2", "0", "1"]


def test_nothing_is_left_beside_the_results(place):
    store.get_or_run([Toy()])
    left = [path.name for path in files(place / "store") if path.suffix != ".json"]
    assert left == [".writable"] and not list((place / "store" / ".work").rglob("rows.json"))


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


def test_plan_counts_and_sums_the_cost(monkeypatch):
    store.get_or_run([Toy()])
    configs = [Toy(), Toy(seed=1), Toy(seed=2), Toy(seed=2)]
    assert str(store.plan(configs)) == "3 units: 1 found, 2 to run"
    monkeypatch.setattr(Toy, "cost_minutes", property(lambda toy: 1.5 * toy.seed), raising=False)
    assert store.plan(configs) == store.Plan(1, 2, 4.5, 0)
    assert str(store.plan(configs)) == "3 units: 1 found, 2 to run, about 4.5 minutes"


def test_a_row_may_not_contradict_its_config(monkeypatch):
    monkeypatch.setattr(Toy, "run", lambda self, **_: [{"seed": 99, "value": 1.0}])
    with pytest.raises(RuntimeError, match="gives 'seed' the value 99, but it is a field of the config"):
        store.get_or_run([Toy(seed=3)])


def test_progress_is_told_unit_by_unit():
    lines = []
    store.get_or_run([Toy(seed=0), Toy(seed=1)], progress=lines.append)
    assert len(lines) == 2 and lines[0].startswith("[1/2] toy default: 0 s, about ")
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
        assert pool.submit(_threads).result() == (1, "1")
    assert frame["seed"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert str(os.getpid()) not in {line[2] for line in toy.log("start")}
    pd.testing.assert_frame_equal(store.get_or_run(configs), frame)


def _threads():
    return torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]


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
    frame = studies.rows("toy", "laptop", compute=True)
    assert store.publish("laptop", "toy") == 4
    paths = files(place / "results")
    assert len(paths) == 4 and all(path.parent == place / "results" / "laptop" / "toy" for path in paths)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    assert store.publish("laptop", "toy") == 4
    assert before == {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files(place / "results")}
    monkeypatch.setenv("RELSTAB_STORE", str(place / "empty"))
    monkeypatch.setenv("RELSTAB_NO_RUN", "1")
    shown = studies.rows("toy", "laptop")
    np.testing.assert_allclose(shown["value"], frame["value"], rtol=5e-7)
    assert all(value == float(f"{value:.7g}") for value in shown["value"])
    assert store.why(Toy()) == "published" and not (place / "empty").exists()
    table = store.provenance("toy", "laptop")
    assert len(table) == 4 and set(table["where"]) == {"published"}
    assert {"unit", "key", "seconds", "device", "torch", "commit"} <= set(table.columns)


def test_old_published_results_go_only_when_asked(place, monkeypatch):
    studies.rows("toy", "gpu", compute=True)
    store.publish("gpu", "toy")
    monkeypatch.setattr(Toy, "version", 2)
    assert store.load("toy", "gpu").attrs["missing"] == 3
    studies.rows("toy", "gpu", compute=True)
    assert store.publish("gpu", "toy") == 3 and len(files(place / "results")) == 6
    assert store.publish("gpu", "toy", prune=True) == 3 and len(files(place / "results")) == 3
    assert store.load("toy", "gpu").attrs["missing"] == 0


def test_tiny_is_not_published():
    with pytest.raises(ValueError, match="scale is 'tiny'; it must be laptop, gpu or paper"):
        store.publish("tiny")


def test_published_results_show_without_the_data(place, monkeypatch):
    frame = studies.rows("toy", "laptop", compute=True)
    monkeypatch.setitem(toy.DATA, "digest", None)
    pd.testing.assert_frame_equal(store.load("toy", "laptop"), frame)
    assert len(store.get_or_run([Toy(seed=1)])) == 2
    with pytest.raises(FileNotFoundError, match="toy data were looked for"):
        store.get_or_run([Toy(seed=77)])
    monkeypatch.setattr(Toy, "version", 2)
    assert store.load("toy", "laptop").attrs["missing"] == 4


def test_an_empty_store_never_asks_for_data(monkeypatch):
    monkeypatch.setattr(Toy, "data_digest", lambda self: pytest.fail("the data were opened"))
    frame = store.load("toy", "paper")
    assert frame.empty and frame.attrs["missing"] == 3 and store.plan(toy.configs("paper")).missing == 3


# the registry


def test_rows_compute_at_tiny_only():
    assert len(studies.rows("toy", "tiny")) == 4
    frame = studies.rows("toy", "gpu")
    assert frame.empty and frame.attrs == {"study": "toy", "scale": "gpu", "missing": 3, "units": 3}
    assert studies.rows("toy", "gpu", compute=True).attrs["missing"] == 0


def test_shown_is_the_largest_scale_with_rows():
    assert studies.shown("toy").empty and studies.shown("toy").attrs["scale"] == "tiny" and toy.log() == []
    studies.rows("toy", "tiny")
    assert studies.shown("toy").attrs["scale"] == "tiny"
    store.get_or_run(toy.configs("gpu")[:1])
    frame = studies.shown("toy")
    assert frame.attrs == {"study": "toy", "scale": "gpu", "missing": 2, "units": 3} and set(frame["scale"]) == {"gpu"}
    assert studies.shown("toy", "paper").attrs["scale"] == "paper" and studies.shown("toy", "paper").empty


def test_unknown_studies_and_scales():
    with pytest.raises(ValueError, match=r"study is 'zoos'; it must be one of .*toy"):
        studies.configs("zoos", "tiny")
    with pytest.raises(ValueError, match="scale is 'huge'; it must be one of tiny, laptop, gpu, paper"):
        studies.shown("toy", "huge")


def test_every_study_module_is_registered():
    found = {path.stem for path in provenance.PACKAGE.joinpath("studies").glob("[!_]*.py")
             if re.search(r"^def configs\(", path.read_text(), re.MULTILINE)}  # fmt: skip
    assert found == set(studies.names()) - {"toy"}


@pytest.mark.parametrize("study", [name for name in studies.names() if name != "toy"])
def test_every_study_has_proper_configs(study):
    for scale in scales.SCALES:
        configs = studies.configs(study, scale)
        assert len({records.recipe(config) for config in configs}) == len(configs), "a unit is listed twice"
        assert all(config.scale == scale and isinstance(config.seed, int) for config in configs)
        assert all(len(records.slug(config)) < 80 for config in configs)


def test_units_module_says_nothing_of_pandas():
    """Workers start fast: what they import to run a unit is light."""
    code = f"import sys; import {units.__name__}; sys.exit(bool({{'pandas', 'torch'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
