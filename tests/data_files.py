"""For the tests of relstab.data: a machine without any data, and data sets that accept made-up files."""

import urllib.error
from dataclasses import replace

from relstab.data import images
from relstab.data.sources import SOURCES


def isolate(tmp_path, monkeypatch):
    """No data on this machine, no network, an empty cache; returns the folder that RELSTAB_DATA names."""
    monkeypatch.setenv("RELSTAB_DATA", str(tmp_path / "shared"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    (tmp_path / "shared").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setitem(SOURCES, "fashion-mnist", replace(SOURCES["fashion-mnist"], places=()))

    def no_network(source):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(images, "_download", no_network)
    return tmp_path / "shared"


def allow(monkeypatch, name, digest=""):
    """Let `load(name)` accept made-up data: any, or those with this digest."""
    monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], digest=digest))
