"""Faults: kill -9, torn files, a full disk, two writers, failing units. Nothing may be lost or wrong."""

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

import _toy_study as toy
import pandas as pd
import pytest
from _toy_study import Toy

from relstab import store
from relstab.store import atomic, executors, units

HERE = Path(__file__).parents[1]
LIGHT = str(HERE / "library" / "light")  # in the place of torch, which the toy study has no use for
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and flock are POSIX")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    return toy.isolate(tmp_path, monkeypatch) / "store"


@pytest.fixture
def light(monkeypatch):
    """Processes that start now find `LIGHT` before torch."""
    monkeypatch.syspath_prepend(LIGHT)


def start(*arguments):
    paths = os.pathsep.join([LIGHT, str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(HERE / "_toy_study.py"), *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.002)


def leftovers(root):
    return list(root.rglob("*.tmp"))


def result(root, config):
    return root / units.Unit.of(config).name


# kill -9


def test_a_writer_killed_25_times_leaves_the_old_record_or_the_new(root):
    """A reader beside it never sees anything else, at no moment; orphans of dead writers are swept."""
    unit, chance = units.Unit.of(Toy()), random.Random(0)
    path, seen, orphans = root / unit.name, set(), 0
    for _ in range(25):
        writer = start("write", root)
        first = path.stat().st_mtime_ns if path.exists() else 0
        until(lambda first=first: path.exists() and path.stat().st_mtime_ns != first)
        end = time.monotonic() + chance.uniform(0, 0.05)
        while time.monotonic() < end:
            rounds = {row["round"] for row in units.read(path, unit.key)["rows"]}  # a miss warns: an error
            assert len(rounds) == 1
        kill(writer)
        record = units.read(path, unit.key)
        assert len(record["rows"]) == 400
        assert len({row["round"] for row in record["rows"]}) == 1
        seen.add(record["rows"][0]["round"])
        orphans += len(leftovers(root))
        atomic.sweep(root)
        assert not leftovers(root)
    assert min(len(seen) - 20, orphans) > 0, "no kill came in the middle of a write"


def test_killed_and_resumed_equals_uninterrupted(root, tmp_path, monkeypatch):
    configs = [Toy(seed=seed, steps=6, pause=0.02) for seed in range(4)]
    for lines in (4, 12, 22):  # in the middle of units 0, 1 and 2
        process = start("run", 4, 6, 0.02)
        until(lambda lines=lines: len(toy.log()) >= lines)
        kill(process)
    resumed = store.get_or_run(configs)
    steps = [tuple(line[1:]) for line in toy.log("step")]
    assert len(set(steps)) == 24
    assert len(steps) <= 24 + 3, "finished steps ran again"
    assert sorted(line[1] for line in toy.log("end")) == list("0123")
    assert any(units.read(result(root, config))["provenance"]["resumed"] for config in configs)
    assert not leftovers(root)
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path / "another"))
    pd.testing.assert_frame_equal(resumed, store.get_or_run(configs))


def test_a_lock_dies_with_its_owner(root):
    process = start("run", 1, 1000, 0.01)
    until(lambda: toy.log("step"))
    unit = units.Unit.of(Toy(steps=1000, pause=0.01))
    assert units.run(unit, str(root), False, None).state == "busy"
    kill(process)
    with atomic.lock(unit.lock(root)) as held:
        assert held


def test_killed_between_storing_and_tidying(root):
    configs = [Toy(), Toy(seed=1, trouble="interrupt")]
    store.get_or_run(configs[:1])
    done, stopped = (units.Unit.of(config).workspace(root) for config in configs)
    for folder in (done, stopped):
        folder.mkdir(parents=True)
        (folder / "rows.json").write_text("[]")
    units.tidy(root)
    assert not done.exists()
    assert stopped.exists(), "the checkpoints of an unfinished unit stay"


def test_orphans_of_dead_writers_go_and_living_writers_keep_theirs(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    machine = atomic._machine()
    names = {
        f".a.json.{machine}-{dead.pid}-0.tmp": False,
        f".b.json.{machine}-{os.getpid()}-0.tmp": True,
        f".c.json.ffffff-{dead.pid}-0.tmp": True,  # another machine's
        ".somebody-elses.tmp": True,
    }
    for name in names:
        (tmp_path / name).touch()
    old = tmp_path / ".d.json.ffffff-1-0.tmp"
    old.touch()
    os.utime(old, (0, 0))
    assert atomic.sweep(tmp_path) == 2
    assert {path.name for path in tmp_path.iterdir()} == {name for name, stays in names.items() if stays}


def test_a_folder_that_another_process_removes_meanwhile_stops_no_sweep(tmp_path, monkeypatch):
    for unit in ("a", "b", "c"):
        (tmp_path / unit).mkdir()
        (tmp_path / unit / ".x.json.ffffff-1-0.tmp").touch()
        os.utime(tmp_path / unit / ".x.json.ffffff-1-0.tmp", (0, 0))
    scandir = os.scandir

    def gone(path):
        if str(path) == str(tmp_path / "b"):  # and not the descriptors that rmtree passes
            shutil.rmtree(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", gone)
    assert atomic.sweep(tmp_path) == 2
    monkeypatch.undo()
    assert not list(tmp_path.rglob("*.tmp"))


# damaged files


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99])
def test_a_torn_file_is_a_miss_said_once_and_mended(root, share):
    frame = store.get_or_run([Toy()])
    path = result(root, Toy())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.warns(RuntimeWarning, match="is damaged and counts as missing: it is not complete") as said:
        again = store.get_or_run([Toy()])
    assert len(said) == 1
    pd.testing.assert_frame_equal(again, frame)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pd.testing.assert_frame_equal(store.get_or_run([Toy()]), frame)
    assert len(toy.log("start")) == 2


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda text, _: text.replace(b'"value": 0.', b'"value": 1.', 1), "its checksum does not match"),
        (lambda text, _: text.replace(b"checksum", b"chocksum"), "its checksum does not match"),
        (lambda _, other: other, "it holds the result of another key"),
        (lambda *_: b"[]", "its checksum does not match"),
        (lambda *_: b"\xff\xfe\x00", "it is not complete JSON"),
        (lambda *_: b'{"rows": [NaN]}', "it is not complete JSON"),
        (lambda *_: b"[" * 10**5, "it is not complete JSON"),  # nested deeper than Python reads
    ],
)
def test_a_file_with_wrong_content_is_a_miss(root, damage, reason):
    frame = store.get_or_run([Toy(), Toy(seed=1)])
    path = result(root, Toy())
    path.write_bytes(damage(path.read_bytes(), result(root, Toy(seed=1)).read_bytes()))
    with pytest.warns(RuntimeWarning, match=reason):
        again = store.get_or_run([Toy(), Toy(seed=1)])
    pd.testing.assert_frame_equal(again, frame)


def test_a_folder_in_the_place_of_a_result_is_one_sentence(root):
    result(root, Toy()).mkdir(parents=True)
    with (
        pytest.warns(RuntimeWarning, match="is damaged and counts as missing"),
        pytest.raises(OSError, match=r"results store .* cannot be written \(Is a directory\)"),
    ):
        store.get_or_run([Toy()])
    assert not leftovers(root)


# a store that cannot be written


@contextmanager
def small_files():
    """The kernel refuses to let any file of this process grow over 300 bytes.

    Only around the call that is tested: pytest's own report may go to a file that is longer already.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_write_that_the_kernel_refuses(root):
    before = store.get_or_run([Toy()])
    content = result(root, Toy()).read_bytes()
    refusal = r"cannot be written \(File too large\): 0 units .*the result of seed1"
    with pytest.raises(OSError, match=refusal), small_files():
        store.get_or_run([Toy(), Toy(seed=1), Toy(seed=2)])
    assert result(root, Toy()).read_bytes() == content
    assert not leftovers(root)
    assert not result(root, Toy(seed=1)).exists()
    assert [line[1] for line in toy.log("start")] == ["0", "1"], "no unit may start that cannot be kept"
    pd.testing.assert_frame_equal(store.get_or_run([Toy()]), before)


def test_a_full_disk_at_a_checkpoint_starts_no_other_unit(monkeypatch):
    real = os.fsync

    def full(descriptor):
        if toy.log("start"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot be written \(No space left on device, in the run of default\)"):
        store.get_or_run([Toy(), Toy(seed=1)])
    assert [line[1] for line in toy.log("start")] == ["0"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_at_either_end_of_the_write(root, monkeypatch, step):
    before = store.get_or_run([Toy()])
    real = getattr(os, step)

    def full(*arguments):
        if len(toy.log("end")) > 1:  # the unit has run, its record is being written
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(OSError, match=r"cannot be written \(No space left on device\)"):
            store.get_or_run([Toy(), Toy(seed=1)])
    assert not leftovers(root)
    assert not result(root, Toy(seed=1)).exists()
    pd.testing.assert_frame_equal(store.get_or_run([Toy()]), before)
    resumed = store.get_or_run([Toy(), Toy(seed=1)])
    assert resumed.missing == 0
    assert len(toy.log("step")) == 4, "the checkpoints were still there"


def test_a_store_that_is_no_folder(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path / "file" / "store"))
    with pytest.raises(OSError, match=r"cannot be written \(Not a directory\).*RELSTAB_STORE") as caught:
        store.get_or_run([Toy()])
    assert "\n" not in str(caught.value)
    assert toy.log() == []


def test_a_read_only_store_still_gives_what_it_has(root, monkeypatch):
    before = store.get_or_run([Toy()])

    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(atomic, "write", refuse)
    monkeypatch.setattr(Path, "mkdir", refuse)
    pd.testing.assert_frame_equal(store.get_or_run([Toy()]), before)
    with pytest.raises(OSError, match="Read-only file system"):
        store.get_or_run([Toy(), Toy(seed=1)])


def test_no_flock_on_the_file_system_is_no_obstacle(monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(atomic.fcntl, "flock", unsupported)
    assert len(store.get_or_run([Toy()])) == 2
    monkeypatch.setattr(atomic, "fcntl", None)
    assert len(store.get_or_run([Toy(seed=1)])) == 2


# several writers


def test_eight_processes_on_the_same_units_run_each_once(root):
    hammer = start("hammer", 8, 12)
    assert hammer.wait(timeout=60) == 0
    assert sorted(int(line[1]) for line in toy.log("start")) == list(range(12))
    assert len({line[2] for line in toy.log("start")}) > 1, "one process did it all"
    assert store.get_or_run([Toy(seed=seed, pause=0.01) for seed in range(12)]).missing == 0
    assert not leftovers(root)
    assert not list((root / ".locks").iterdir())


def test_a_lock_lets_one_in_at_a_time(tmp_path):
    path, turns = tmp_path / "turns", 25
    path.write_text("0")

    def count():
        for _ in range(turns):
            with atomic.lock(tmp_path / "lock", patience=60.0) as held:
                assert held
                value = int(path.read_text())
                time.sleep(0.0005)
                path.write_text(str(value + 1))

    with ThreadPoolExecutor(6) as pool:
        for job in [pool.submit(count) for _ in range(6)]:
            job.result()
    assert path.read_text() == str(6 * turns)


def test_a_lock_on_a_file_that_lost_its_name_does_not_count(tmp_path, monkeypatch):
    """Its owner removed it between our open and our lock; the next process would lock a new file."""
    path, real = tmp_path / "lock", atomic.fcntl.flock

    def late(descriptor, operation):
        path.unlink()
        real(descriptor, operation)

    monkeypatch.setattr(atomic.fcntl, "flock", late)
    with atomic.lock(path) as held:
        assert not held


# units that fail, stop, or come too late


def test_a_failing_unit_does_not_lose_the_others():
    configs = [Toy(seed=0), Toy(seed=1, trouble="error"), Toy(seed=2), Toy(seed=3, trouble="error")]
    sentence = r"2 of 4 units of study 'toy' failed \(2 stored; .*seed1-error: ZeroDivisionError: unit 1 .*; seed3"
    with pytest.raises(RuntimeError, match=sentence) as caught:
        store.get_or_run(configs)
    assert "in run" in caught.value.__notes__[0], "the traceback of the unit is there"
    assert store.get_or_run([configs[0], configs[2]]).missing == 0
    assert [line[1] for line in toy.log("start")] == list("0123")


def test_a_dying_pool_loses_only_what_was_running():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        configs = [Toy(seed=0), Toy(seed=1, trouble="die"), Toy(seed=2)]
        with pytest.raises(RuntimeError, match=r"2 of 3 units .* failed \(1 stored.*BrokenProcessPool"):
            store.get_or_run(configs, pool)
    assert len(store.get_or_run([Toy(seed=0), Toy(seed=2)])) == 4
    assert [line[1] for line in toy.log("start")] == list("012")


@pytest.mark.parametrize(("visible", "expected"), [("0,1,2", ["0", "1", "2"]), ("", []), ("-1", []), ("5", ["5"])])
def test_gpus_are_those_that_the_environment_shows(monkeypatch, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert executors.gpus() == expected


@pytest.mark.usefixtures("light")
def test_eight_workers_on_eight_gpus_use_all_and_a_new_worker_takes_the_place_of_a_dead_one(monkeypatch):
    """What `--jobs 8` starts. The devices are made up: each worker sees another one, before anything looks for it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7")
    with executors.executor(jobs=8) as pool:
        seen = [job.result() for job in [pool.submit(toy.visible_gpu, 0.5) for _ in range(8)]]
        again = {job.result() for job in [pool.submit(toy.visible_gpu, 0.3, die_once=True) for _ in range(8)]}
    assert sorted(seen) == list("01234567")
    assert again == set(seen)


@pytest.mark.usefixtures("light")
def test_a_process_that_dies_is_replaced_and_takes_nothing_along():
    trouble = ["", "die", "", "die once", "", ""]
    configs = [Toy(seed=seed, trouble=what, pause=0.01) for seed, what in enumerate(trouble)]
    with (
        executors.processes(2) as pool,
        pytest.raises(RuntimeError, match=r"1 of 6 units .* failed \(5 stored.*seed1-.*die: BrokenProcessPool"),
    ):
        store.get_or_run(configs, pool)
    assert sorted(line[1] for line in toy.log("start")) == list("01123345")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_study_that_is_ended_leaves_no_processes(number):
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell ignores it
        "import _toy_study as toy\nfrom relstab import store\nfrom relstab.store import executors\n"
        "with executors.executor(jobs=2) as pool:\n"
        "    store.get_or_run([toy.Toy(seed=seed, steps=1000, pause=0.05) for seed in range(4)], pool)"
    )
    paths = os.pathsep.join([LIGHT, str(HERE), str(HERE.parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while len(toy.log("start")) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    started = [int(line[2]) for line in toy.log("start")]
    assert len(started) == 2
    try:
        process.send_signal(number)
        assert process.wait(30) != 0
        deadline = time.monotonic() + 10
        while (alive := [pid for pid in started if _runs(pid)]) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert alive == []
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_stop_ends_only_the_processes_of_its_executor():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as other, executors.processes(1) as pool:
        mine, theirs = pool.submit(os.getpid).result(), other.submit(os.getpid).result()
        running = pool.submit(time.sleep, 60)
        until(running.running)
        pool.stop()
        with pytest.raises(BrokenProcessPool):
            running.result(10)
        with pytest.raises(BrokenProcessPool):  # and no process starts after it
            pool.submit(os.getpid).result(10)
        until(lambda: not _runs(mine))
        assert other.submit(os.getpid).result() == theirs


def _runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_stop_cancels_what_has_not_started(monkeypatch):
    real = atomic.write

    def full(path, data):
        if Path(path).suffix == ".json" and ".work" not in Path(path).parts:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, data)

    monkeypatch.setattr(atomic, "write", full)
    with ThreadPoolExecutor(1) as pool, pytest.raises(OSError, match="No space left on device"):
        store.get_or_run([Toy(seed=seed, pause=0.05) for seed in range(10)], pool)
    assert len(toy.log("start")) < 5


def test_stopped_by_hand_resumes(root):
    configs = [Toy(seed=0), Toy(seed=1, trouble="interrupt"), Toy(seed=2)]
    with pytest.raises(KeyboardInterrupt):
        store.get_or_run(configs)
    assert store.plan(configs).found == 1
    assert not list((root / ".locks").iterdir())
    assert store.get_or_run(configs).missing == 0
    assert [line[1] for line in toy.log("start")] == ["0", "1", "1", "2"]


@pytest.mark.parametrize("pooled", [False, True])
def test_a_budget_starts_no_unit_after_its_end(monkeypatch, pooled):
    real, configs, lines = time.time(), [Toy(seed=seed) for seed in range(6)], []
    monkeypatch.setattr(time, "time", lambda: real + 60 * len(toy.log("end")))  # each unit takes a minute
    pool = ThreadPoolExecutor(1) if pooled else None
    frame = store.get_or_run(configs, pool, budget_minutes=2.5, progress=lines.append)
    assert frame.missing == 3
    assert sorted(set(frame["seed"])) == [0, 1, 2]
    assert lines[-1] == "budget spent: 3 units left for the next call"
    assert store.get_or_run(configs, pool, budget_minutes=0).missing == 3
    assert store.get_or_run(configs, pool).missing == 0
    assert len(toy.log("start")) == 6
    if pool:
        pool.shutdown()


@pytest.mark.parametrize("budget", [-1, float("nan")])
def test_a_senseless_budget(budget):
    with pytest.raises(ValueError, match=r"budget_minutes is .*; it must be at least 0, or None"):
        store.get_or_run([Toy()], budget_minutes=budget)
