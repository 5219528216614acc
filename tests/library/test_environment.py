"""The variables of the environment: each is read in one place and means the same everywhere."""

import re
from pathlib import Path

import pytest

from relstab.store import catalogue, environment

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("value", "on"),
    [(None, False), ("", False), ("0", False), ("no", False), ("False", False), ("1", True), ("yes", True)],
)
def test_flags(value, on, monkeypatch):
    monkeypatch.delenv("RELSTAB_NO_RUN", raising=False)
    if value is not None:
        monkeypatch.setenv("RELSTAB_NO_RUN", value)
    assert environment.flag("RELSTAB_NO_RUN") is on


def test_folders_are_absolute_and_empty_is_not_set(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELSTAB_STORE", "some/store")
    monkeypatch.setenv("RELSTAB_RESULTS", "")
    assert catalogue.working() == tmp_path / "some" / "store"
    assert catalogue.published(tmp_path / "project") == tmp_path / "project" / "results"
    absolute = environment.absolute()
    assert absolute["RELSTAB_STORE"] == str(tmp_path / "some" / "store")
    assert "RELSTAB_RESULTS" not in absolute


def test_nothing_else_reads_them():
    home = Path(environment.__file__)
    for package in ("relstab", "relbook"):
        for path in (ROOT / package).rglob("*.py"):
            if path != home:
                assert not re.search(r"(environ|getenv)\b.{0,20}RELSTAB_", path.read_text()), path


def test_readers_are_told_of_all():
    text = (ROOT / "book" / "how-to-run.md").read_text()
    told = set(re.findall(r"^\| `(RELSTAB_\w+)` \|", text, re.M))
    assert told == {*environment.FLAGS, *environment.FOLDERS} - {"RELSTAB_DOWNLOADS"}  # which the runner sets
