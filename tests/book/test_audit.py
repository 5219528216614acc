"""Published rows and today's code: what changed since, and whether computing again gives the same."""

import dataclasses
import math

import pandas as pd
import pytest

from relbook import audit, page, registry
from relstab import store
from relstab.store import origin

QUICK = 10.0  # seconds that a unit took, of those that are computed again here


def _cheapest(study):
    units = sorted(audit.published(study, "laptop"), key=lambda unit: unit[1]["provenance"]["seconds"])
    if study == "measures":  # its times leave out the training of the network
        units = [unit for unit in units if unit[0].recipe == "published"]
    return units[0] if units and units[0][1]["provenance"]["seconds"] < QUICK else None


@pytest.mark.parametrize("study", registry.names())
def test_the_quickest_published_unit_is_what_the_code_gives(study, tmp_path, monkeypatch):
    """A changed meaning without a new version fails here."""
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path))
    unit = _cheapest(study)
    if unit is None:
        pytest.skip(f"{study} has no published unit under {QUICK:g} s whose data are here")
    comparison = audit.verify(*unit)
    assert comparison.ok, str(comparison)


def test_a_wrong_row_is_noticed():
    config, record = _cheapest("diffeomorphisms")
    name = next(n for n, value in record["rows"][0].items() if isinstance(value, float) and value > audit.FLOOR)
    rows = [{**record["rows"][0], name: 1.01 * record["rows"][0][name]}, *record["rows"][1:]]
    right, wrong = audit.verify(config, record), audit.verify(config, {**record, "rows": rows})
    assert right.ok
    assert wrong.same_machine is right.same_machine
    if wrong.same_machine:
        assert not wrong.ok and "DIFFERS" in str(wrong)
    assert audit.differences(record["rows"], rows)[-1] == pytest.approx(0.01 / 1.01, rel=1e-6)


def test_differences():
    row = {"R": 0.5, "layer": "a", "curve": [1.0, 2.0], "seconds": 3.0, "n": 4, "none": None}
    assert audit.differences([row], [{**row, "seconds": 9.0, "new": 1}])[-1] == 0
    assert audit.differences([row], [{**row, "curve": [1.0, 2.5]}])[-1] == pytest.approx(0.2)
    assert audit.differences([row], [{**row, "R": 0.0}])[-1] == 1
    assert audit.differences([{"D": 1e-9}], [{"D": 3e-9}])[-1] < 1e-6
    for other in ({"layer": "b"}, {"R": None}, {"curve": [1.0]}, {"none": 1.0}):
        assert audit.differences([row], [{**row, **other}])[-1] == math.inf
    assert audit.differences([row], []) == [math.inf]


def test_changes_since_a_commit_are_named(monkeypatch):
    table = store.provenance(registry.configs("diffeomorphisms", "laptop"))
    commit = table["commit"].iloc[0]
    if not origin.sources(commit):
        pytest.skip("no git history here")
    now = dict(origin.sources())
    path = next(path for path, text in now.items() if "def sample_coefficients" in text)
    now[path] = now[path].replace("def sample_coefficients", "def renamed", 1)
    real = origin.sources
    monkeypatch.setattr(origin, "sources", lambda commit=None: real(commit) if commit else now)
    assert "sample_coefficients" in audit.changed("diffeomorphisms", "laptop")[commit]


def test_an_unknown_commit_is_said(monkeypatch):
    table = store.provenance(registry.configs("stripe", "laptop")).assign(commit="f" * 40)
    monkeypatch.setattr(store, "provenance", lambda *arguments: table)
    assert audit.changed("stripe", "laptop") == {"f" * 40: ["unknown code"]}


def test_every_study_that_trains_states_its_spread():
    for study in registry.names():
        for config in registry.configs(study, "laptop")[:1]:
            fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
            trains = fields.get("recipe") != "published" and bool(fields.get("epochs") or fields.get("limit"))
            assert getattr(config, "spread", 0) > audit.EXACT or not trains, study


@pytest.mark.parametrize(("flags", "said"), [([False, False], 0), ([True, False], 1), ([None, True], 2)])
def test_a_page_says_which_rows_cannot_be_traced(monkeypatch, flags, said):
    table = pd.DataFrame({"seconds": 60.0, "device": "a", "torch": "2", "commit": "c" * 40, "dirty": flags})
    monkeypatch.setattr(store, "provenance", lambda configs: table)
    text = page.source(store.Rows().of("stripe", "laptop")).bundle["text/plain"]
    assert (f"{said} of them come from code with local changes" in text) is bool(said)
