"""The command line: help that a newcomer can read, exit codes, one sentence for each bad request."""

import json
import re
import subprocess
import sys

import pytest

from relstab import cli

EXPLAINED = {
    "run": {"NAME", "--scale", "--jobs"},
    "book": {"--only", "--scale", "--jobs"},
    "study": {"STUDY", "--scale", "--jobs", "--scheduler", "--gpus", "--budget", "--dry-run", "--publish", "--verify"},
    "status": {"--units"},
    "claims": {"--scale", "--paper", "--json", "--all", "--units"},
    "probe": {"--model", "--weights", "--images", "--layers", "--displacement", "--cut", "--pretrained", "--device"},
    "bench": {"NAME"},
}


@pytest.mark.parametrize("verb", EXPLAINED)
def test_help_of_every_verb(verb, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main([verb, "--help"])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert f"relstab {verb}" in out
    listed = re.findall(r"^ +(--?[a-z-]+|[A-Z]+)(?: \S+)*(?: {2,}|\n +)(\S.{8})", out, re.MULTILINE)
    assert {name for name, _ in listed} >= EXPLAINED[verb], "each with a text beside it"


def test_help_does_not_wait_for_torch():
    code = "import sys; from relstab import cli; cli.parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["study", "zoo", "--scale", "huge"], "scale is 'huge'; it must be one of tiny, laptop, gpu, paper"),
        (["run", "--scale", "huge"], "scale is 'huge'; it must be one of"),
        (["study", "no-such-study"], "no-such-study"),
        (["study", "zoo", "--scheduler", ""], "scheduler is ''; it must be an address like"),
        (["run", ""], "no notebook is called ''; there are"),
        (["claims", "--paper", "nobody2020"], "paper is 'nobody2020'; it must be one of"),
        (["bench", "no-such-benchmark"], "benchmark is 'no-such-benchmark'; it must be one of"),
        (["probe", "--model", "nonsense", "--images", "x"], "--model is 'nonsense'; it must be"),
        (["probe", "--model", "torchvision:resnet1", "--images", "x"], "torchvision has no model of this name"),
        (["probe", "--model", "relstab:lenet", "--images", "no-such-folder"], "--images is 'no-such-folder'"),
        (
            ["probe", "--model", "relstab:lenet", "--weights", "no.pt", "--images", "x"],
            "--weights is 'no.pt', which does not exist",
        ),
        (["probe", "--model", "relstab:lenet", "--option", "width", "--images", "x"], "it must read KEY=VALUE"),
        (["probe", "--model", "no.such.module:f", "--images", "x"], "importing 'no.such.module' fails"),
        (["probe", "--model", "relstab:lenet", "--images", "x", "--save", "x.bmp"], "it must end in .csv, .json"),
    ],
)
def test_bad_requests_are_one_sentence_and_exit_2(arguments, sentence, capsys, unchecked):
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("relstab: ") and sentence in error
    assert error.count("\n") == 1 and "Traceback" not in error


def test_progress_reaches_a_file_at_once(tmp_path):
    """Standard output is a file in a log or a queue; a line must not wait there until the end."""
    code = """
import sys
from relbook.press import execute
from relstab import cli

def run(**options):
    print("[0:00] start  a/one")
    seen.append(open(sys.argv[1]).read())
    return []

seen, execute.execute = [], run
cli.main(["run"])
sys.exit("start" not in seen[0])
"""
    with open(tmp_path / "log", "w") as log:
        subprocess.run([sys.executable, "-c", code, log.name], stdout=log, check=True, cwd=tmp_path)


def test_claims_json_has_the_fields_of_the_ledger(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path))
    assert cli.main(["claims", "--json", "--paper", "slides2022"]) == 0  # all papers: tests/book/test_ledger.py
    rows = json.loads(capsys.readouterr().out)
    from relbook import ledger

    assert rows and set(rows[0]) == set(ledger.FIELDS)
    assert {row["verdict"] for row in rows} <= set(map(str, ledger.Verdict))
    assert any(row["estimate"] is not None for row in rows)
    assert cli.main(["claims", "--json", "--all", "--paper", "slides2022"]) == 0
    with_old = json.loads(capsys.readouterr().out)
    assert {row["id"] for row in with_old} > {row["id"] for row in rows}
    assert {row["verdict"] for row in with_old if row["id"] == "d-lazy-kernel"} == {None}


def test_the_status_says_which_rows_other_code_computed(capsys, monkeypatch):
    from relbook import audit, registry

    monkeypatch.setattr(registry, "names", lambda: ["stripe"])
    monkeypatch.setattr(audit, "changed", lambda study, scale: {"0123456789abcdef": [*"abcdefg", "fit"]})
    assert cli.main(["status"]) == 0
    said = capsys.readouterr().out
    assert "    rows of 0123456789: code has changed since: a, b, c, d, e, f and 2 more\n" in said
