"""What the book's verbs do when all goes well, and their exit codes: study, status, run, bench."""

import functools
import runpy
import sys

import _toy_study as toy
import pytest
from test_execute import cell, write

from relbook import registry
from relbook.press import execute
from relstab import cli


@pytest.fixture(autouse=True)
def only_toys(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "STUDIES", {"toy": "_toy_study"})
    return toy.isolate(tmp_path, monkeypatch)


def study(*options):
    return cli.main(["study", "toy", *options])


def test_a_dry_run_says_what_it_costs_and_starts_nothing(capsys):
    assert study("--scale", "laptop", "--dry-run") == 0
    assert capsys.readouterr().out == "4 units: 0 found, 4 to run\n"
    assert toy.log() == []


def test_a_study_runs_what_is_missing_and_says_so(capsys):
    assert study("--scale", "laptop") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 units: 0 found, 4 to run"
    assert lines[-1] == "toy at scale laptop: 8 rows, 0 units left"
    assert len(lines) > 5, "there is a line of progress for each unit"
    assert study("--scale", "laptop") == 0
    assert capsys.readouterr().out.startswith("4 units: 4 found, 0 to run\n")
    assert [seed for _, seed, _ in toy.log("start")] == ["0", "1", "2", "3"], "the second time nothing ran"


def test_work_that_is_left_is_exit_code_1(capsys):
    assert study("--scale", "gpu", "--budget", "0") == 1
    assert capsys.readouterr().out.endswith("toy at scale gpu: 0 rows, 3 units left\n")
    assert toy.log() == []
    assert study("--scale", "gpu", "--budget", "10") == 0


def test_a_unit_that_fails_is_exit_code_1_and_the_others_are_kept(monkeypatch, capsys):
    monkeypatch.setattr(toy, "configs", lambda scale: [toy.Toy(seed=1, trouble="error"), toy.Toy(seed=2)])
    assert study("--scale", "laptop") == 1
    assert "unit 1 went wrong" in capsys.readouterr().err
    assert [seed for _, seed, _ in toy.log("end")] == ["2"]


def test_publishing_copies_finished_rows_to_the_results(tmp_path, capsys):
    assert study("--scale", "laptop", "--publish") == 0
    assert "published 4 units\n" in capsys.readouterr().out
    assert len(toy.files(tmp_path / "results" / "laptop" / "toy")) == 4


def test_published_units_can_be_computed_again(capsys):
    assert study("--scale", "laptop", "--publish") == 0
    capsys.readouterr()
    assert study("--scale", "laptop", "--verify") == 0
    assert capsys.readouterr().out.endswith("toy at scale laptop: 4 of 4 published units computed again, 0 differ\n")


def test_status_counts_units_and_lists_them(capsys):
    assert study("--scale", "laptop") == 0
    capsys.readouterr()
    assert cli.main(["status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines if line.startswith("toy")] == [
        ["toy", "tiny", "2"],
        ["toy", "laptop", "4"],
        ["toy", "gpu", "3"],
        ["toy", "paper", "3"],
    ]
    assert next(line for line in lines if " laptop " in line).endswith("4 units: 4 found, 0 to run")
    assert cli.main(["status", "--units"]) == 0
    longer = capsys.readouterr().out.splitlines()
    assert len(longer) == len(lines) + 5, "a head and four units"


def test_run_executes_notebooks_and_fails_with_them(tmp_path, monkeypatch, capsys):
    (tmp_path / "package").mkdir()
    here = functools.partial(execute.execute, root=tmp_path, sources=[tmp_path / "package"])
    monkeypatch.setattr(execute, "execute", here)
    path = write(tmp_path, "a/one", "print(scale)")
    assert cli.main(["run", "one"]) == 0
    assert "1 notebooks at scale tiny: 1 executed" in capsys.readouterr().out
    path.write_text(path.read_text() + cell("1 / 0"))
    assert cli.main(["run", "--jobs", "1"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_bench_lists_benchmarks_and_runs_one(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(runpy, "run_path", lambda path, run_name: ran.append((path, run_name)))
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert cli.main(["bench"]) == 0
    assert {"diffeo", "sensitivity", "training"} <= set(capsys.readouterr().out.split())
    assert cli.main(["bench", "diffeo"]) == 0
    ((path, name),) = ran
    assert path.endswith("benchmarks/diffeo.py") and name == "__main__"
