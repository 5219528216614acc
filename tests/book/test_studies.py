"""The registry of studies, and that every study's configs are fit for the store."""

import re

import _toy_study as toy
import pytest

from relbook import registry, scales
from relstab import store
from relstab.store import origin, records


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setitem(registry.STUDIES, "toy", "_toy_study")
    return toy.isolate(tmp_path, monkeypatch)


# the registry


def test_rows_compute_at_tiny_only():
    assert len(registry.rows("toy", "tiny")) == 4
    frame = registry.rows("toy", "gpu")
    assert frame.empty
    assert (frame.study, frame.scale, frame.missing, frame.units) == ("toy", "gpu", 3, 3)
    assert registry.rows("toy", "gpu", compute=True).missing == 0


def test_shown_is_the_largest_scale_with_rows():
    assert registry.shown("toy").empty
    assert registry.shown("toy").scale == "tiny"
    assert toy.log() == []
    registry.rows("toy", "tiny")
    assert registry.shown("toy").scale == "tiny"
    store.get_or_run(toy.configs("gpu")[:1])
    frame = registry.shown("toy")
    assert (frame.study, frame.scale, frame.asked, frame.missing, frame.units) == ("toy", "gpu", "tiny", 2, 3)
    assert set(frame["scale"]) == {"gpu"}
    assert registry.shown("toy", "paper").scale == "paper"
    assert registry.shown("toy", "paper").empty


def test_publish_takes_the_units_of_one_scale(tmp_path):
    registry.rows("toy", "gpu", compute=True)
    assert registry.publish("toy", "laptop") == 0
    assert registry.publish("toy", "gpu") == 3
    assert {path.parent for path in toy.files(tmp_path / "results")} == {tmp_path / "results" / "gpu" / "toy"}


def test_tiny_is_not_published():
    with pytest.raises(ValueError, match="scale is 'tiny'; it must be laptop, gpu or paper"):
        registry.publish("toy", "tiny")


def test_unknown_studies_and_scales():
    with pytest.raises(ValueError, match=r"study is 'zoos'; it must be one of .*toy"):
        registry.configs("zoos", "tiny")
    with pytest.raises(ValueError, match="scale is 'huge'; it must be one of tiny, laptop, gpu, paper"):
        registry.shown("toy", "huge")


def test_every_study_module_is_registered():
    found = {
        path.parent.name
        for path in (origin.PACKAGE.parent / "relbook" / "studies").glob("*/study.py")
        if re.search(r"^def configs\(", path.read_text(), re.MULTILINE)
    }
    assert found == set(registry.names()) - {"toy"}


@pytest.mark.parametrize("study", [name for name in registry.names() if name != "toy"])
def test_every_study_has_proper_configs(study):
    for scale in scales.SCALES:
        configs = registry.configs(study, scale)
        assert len({records.settings_hash(config) for config in configs}) == len(configs), "a unit is listed twice"
        assert all(config.scale == scale and isinstance(config.seed, int) for config in configs)
        assert all(len(records.slug(config)) < 80 for config in configs)
