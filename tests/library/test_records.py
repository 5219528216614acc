"""Keys, the text of a record, and where a result says it comes from."""

import contextlib
import dataclasses
import getpass
import hashlib
import json
import math
import platform
import re
import subprocess
import sys

import _toy_study as toy
import numpy as np
import pytest
import torch
from _toy_study import Toy
from hypothesis import given, settings
from hypothesis import strategies as st

from relstab import store
from relstab.store import origin, records, units

GOLDEN = "1e7dd24afdc1d7cb44b43a79d013040f4f257c6c75b535f51ccc7b56d50dfdd1"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    return toy.isolate(tmp_path, monkeypatch)


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

    with pytest.raises(TypeError, match="must be an instance of a study's frozen config dataclass"):
        store.get_or_run([{"seed": 1}])
    with pytest.raises(TypeError, match=r"Nameless\.study is missing"):
        store.get_or_run([Nameless()])
    with pytest.raises(ValueError, match=r"Toy\.scale is 'a/b'; it must be a word"):
        store.get_or_run([Toy(scale="a/b")])


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
    with contextlib.suppress(ValueError):
        assert records.loads(bytes(text), "k" * 64) == record


def test_one_row_a_line_and_nothing_private(place):
    store.get_or_run([Toy(seed=7, steps=3)])
    [path] = [path for path in toy.files(place / "store") if path.suffix == ".json"]
    assert path.relative_to(place / "store").as_posix() == (
        f"laptop/toy/seed7-steps3-{store.key(Toy(seed=7, steps=3))[:12]}.json"
    )
    lines = path.read_text().splitlines()
    assert sum(line.startswith('{"step"') for line in lines) == 3
    record = json.loads(path.read_text())
    assert {"key", "config", "provenance", "rows", "checksum"} <= record.keys()
    source = record["provenance"]
    assert source["scale"] == "laptop"
    assert source["seed"] == 7
    assert source["resumed"] is False
    assert source["seconds"] >= 0
    assert source["python"]
    assert source["numpy"]
    assert source["relstab"]
    assert source["device"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", source["finished"])
    assert re.fullmatch("[0-9a-f]{12}", source["code"])
    text = path.read_text()
    assert str(place) not in text
    assert str(origin.PACKAGE.parent) not in text
    assert platform.node() not in text
    assert f'"{getpass.getuser()}"' not in text


# provenance


def test_no_commit_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(origin, "PACKAGE", tmp_path / "relstab")
    assert origin.commit.__wrapped__() == (None, None)


def test_commit_and_dirty_flag_of_a_checkout(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)

    (tmp_path / "relstab").mkdir()
    (tmp_path / "relstab" / "a.py").write_text("1\n")
    git("init", "-q")
    monkeypatch.setattr(origin, "PACKAGE", tmp_path / "relstab")
    assert origin.commit.__wrapped__() == (None, None)  # no commit yet
    git("add", ".")
    git("commit", "-qm", "first")
    head, dirty = origin.commit.__wrapped__()
    assert re.fullmatch("[0-9a-f]{40}", head)
    assert dirty is False
    (tmp_path / "note").write_text("outside the package")
    assert origin.commit.__wrapped__() == (head, False)
    (tmp_path / "relstab" / "b.py").write_text("2\n")
    assert origin.commit.__wrapped__() == (head, True)


def test_the_device_is_the_gpu_only_for_a_unit_that_used_it(monkeypatch):
    assert origin.start()()["device"] == origin.cpu()
    assert tuple(origin.start()()) == origin.FIELDS
    counts = iter([5, 8])
    monkeypatch.setattr(origin, "_allocations", lambda: next(counts))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    assert origin.start()()["device"] == "a GPU"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_the_device_on_a_gpu():
    torch.cuda.init()
    finish = origin.start()
    assert finish()["device"] == origin.cpu()
    kept = torch.ones(3, device="cuda")
    assert finish()["device"] == torch.cuda.get_device_name(kept.device)


def test_units_module_says_nothing_of_pandas():
    """Workers start fast: what they import to run a unit is light."""
    code = f"import sys; import {units.__name__}; sys.exit(bool({{'pandas', 'torch'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
