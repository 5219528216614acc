"""The registry of studies, and that every study's configs are fit for the store."""

import re

import _toy_study as toy
import pytest

from relstab import provenance, records, scales, store, studies


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    return toy.isolate(tmp_path, monkeypatch)


# the registry


def test_rows_compute_at_tiny_only():
    assert len(studies.rows("toy", "tiny")) == 4
    frame = studies.rows("toy", "gpu")
    assert frame.empty
    assert frame.attrs == {"study": "toy", "scale": "gpu", "missing": 3, "units": 3}
    assert studies.rows("toy", "gpu", compute=True).attrs["missing"] == 0


def test_shown_is_the_largest_scale_with_rows():
    assert studies.shown("toy").empty
    assert studies.shown("toy").attrs["scale"] == "tiny"
    assert toy.log() == []
    studies.rows("toy", "tiny")
    assert studies.shown("toy").attrs["scale"] == "tiny"
    store.get_or_run(toy.configs("gpu")[:1])
    frame = studies.shown("toy")
    assert frame.attrs == {"study": "toy", "scale": "gpu", "missing": 2, "units": 3}
    assert set(frame["scale"]) == {"gpu"}
    assert studies.shown("toy", "paper").attrs["scale"] == "paper"
    assert studies.shown("toy", "paper").empty


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
