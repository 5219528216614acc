"""What fixes the arithmetic of a unit: threads and precision, and what a code digest names."""

import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import _toy_study as toy
import pytest
import torch
from torch import nn

from relstab import models, store
from relstab.store import numerics, origin


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    return toy.isolate(tmp_path, monkeypatch)


@dataclass(frozen=True)
class Sums:
    """A unit whose row tells how it was computed: threads, precision, and a sum that depends on the threads."""

    study: ClassVar[str] = "toy"
    version: ClassVar[int] = 1
    scale: str = "laptop"
    seed: int = 0

    def data_digest(self):
        return ""

    def run(self, *, workspace=None, progress=None, device="cpu"):
        numbers = torch.rand(1 << 20, generator=torch.Generator().manual_seed(self.seed)) - 0.5
        return [{"threads": torch.get_num_threads(), "precision": numerics.precision(), "sum": numbers.sum()}]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_rows_do_not_depend_on_the_threads_of_the_shell(two_threads):
    """Fails without `numerics.fixed`: two threads add in another order."""
    numbers = torch.rand(1 << 20, generator=torch.Generator().manual_seed(0)) - 0.5
    torch.set_num_threads(1)
    alone = numbers.sum()
    torch.set_num_threads(2)
    row = store.get_or_run([Sums()]).iloc[0]
    assert (row["threads"], row["precision"]) == (1, "ieee")
    assert row["sum"] == alone.item()
    assert torch.get_num_threads() == 2


def test_what_was_set_comes_back_also_after_an_error(two_threads):
    torch.backends.cudnn.allow_tf32 = True

    def interrupted():
        with numerics.fixed():
            assert not torch.backends.cudnn.allow_tf32
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert torch.backends.cudnn.allow_tf32
    assert torch.get_num_threads() == 2
    assert numerics.precision() == "tf32"


def test_the_record_says_how_it_was_computed(two_threads):
    store.get_or_run([Sums()])
    from relstab.store import records

    (path,) = [path for path in toy.files(store.working()) if path.suffix == ".json"]
    source = records.loads(path.read_bytes())["provenance"]
    assert (source["threads"], source["precision"]) == (1, "ieee")
    assert source["capability"] == torch.backends.cpu.get_cpu_capability()


@pytest.mark.parametrize("name", models.names())
def test_networks_with_dropout_are_known(name):
    with torch.device("meta"):
        model = models.build(name, width=0.25)
    drawing = (nn.modules.dropout._DropoutNd, nn.RReLU)
    assert models.has_dropout(name) == any(isinstance(module, drawing) for module in model.modules())


def test_a_code_digest_names_its_commit(tmp_path):
    """In a repository of its own: the digest of the files is that of the commit that holds them."""
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.invalid"]

    def run(*command):
        return subprocess.run([*git, *command], check=True, capture_output=True, text=True).stdout

    for folder in ("relstab/data", "relbook", "other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "relstab/__init__.py").write_text("x = 1\n")
    (tmp_path / "relbook/claims.toml").write_text("a = 1\n")
    (tmp_path / "other/file.py").write_text("not ours\n")
    run("init", "-q")
    run("add", ".")
    run("commit", "-qm", "first")
    first = run("rev-parse", "HEAD").strip()
    code = (
        "import sys, pathlib; from relstab.store import origin;"
        f"origin.PACKAGE = pathlib.Path({str(tmp_path)!r}, 'relstab');"
        "code = origin.code(); print(code, origin.commit_of(code))"
    )

    def ask():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.split()

    digest, commit = ask()
    assert commit == first
    (tmp_path / "relbook/claims.toml").write_text("a = 2\n")
    changed, commit = ask()
    assert changed != digest and commit == "None"
    run("commit", "-qam", "second")
    assert ask() == [changed, run("rev-parse", "HEAD").strip()]
    (tmp_path / "other/file.py").write_text("still not ours\n")
    assert ask()[0] == changed


def test_the_code_of_the_head_is_known():
    """The checkout's own history holds the code of its newest commit."""
    origin._history.cache_clear()
    if not origin._history():
        pytest.skip("no git history here")
    assert all(len(digest) == 12 and len(commit) == 40 for digest, commit in origin._history().items())
