"""Every result that is published belongs to a unit of today's studies and is found:
no change of the code loses rows.
"""

import json
from pathlib import Path

import pytest

from relbook import registry
from relstab import store
from relstab.store import records

RESULTS = Path(__file__).resolve().parents[2] / "results"
FOLDERS = sorted(path for path in RESULTS.glob("*/*") if path.is_dir())


def settings(config):
    return json.dumps(records.fields(config), sort_keys=True), config.version


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: "-".join(path.parts[-2:]))
def test_every_published_result_is_found(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path))
    monkeypatch.setenv("RELSTAB_RESULTS", str(RESULTS))
    configs = registry.configs(folder.name, folder.parent.name)
    today = dict(map(settings, configs))
    published = [records.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))]
    versions = {}
    for record in published:
        versions.setdefault(json.dumps(record["config"], sort_keys=True), []).append(record["version"])
    assert [unit for unit in versions if unit not in today] == []
    assert [unit for unit, found in versions.items() if len(found) > 1] == [], "an older version should be removed"
    found = [unit for unit, (version,) in versions.items() if version == today[unit]]
    assert len(store.provenance(configs)) == len(found)
    waiting = [unit for unit in versions if unit not in found]  # for a unit whose meaning changed to run again
    assert all(versions[unit][0] < today[unit] for unit in waiting)


def test_there_are_results():
    assert len(list(RESULTS.rglob("*.json"))) >= 471
