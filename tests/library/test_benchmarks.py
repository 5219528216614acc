"""The benchmarks compare what they say they compare; nothing is timed here."""

import sys
from pathlib import Path

import pytest
import torch

from relstab.probes.sensitivity import FoldingWarning

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))

    def imported(name):
        sys.modules.pop(name, None)
        return __import__(name)

    yield imported
    for name in ("_harness", "sensitivity", "diffeo"):
        sys.modules.pop(name, None)


@pytest.mark.filterwarnings(f"ignore::{FoldingWarning.__module__}.{FoldingWarning.__name__}")
def test_keeping_everything_gives_the_same_table(benchmark, monkeypatch):
    """Also with BatchNorm, which has seen data in the networks that are timed."""
    timed = benchmark("sensitivity")
    images = torch.randn(6, 3, 32, 32, generator=timed.seeded())
    timed.check(timed.network("vgg11_bn", 0.0625, 32), images, 4)
    with pytest.raises(SystemExit, match="by keeping all"):
        timed.check(timed.network("vgg11_bn", 0.0625, 32, seen=False), images, 4)
    monkeypatch.setattr(timed, "TURNS", 1)
    names = [row["what"] for row in timed.sweeps("lenet", 0.5, 32, 4, 4)]
    assert names == ["18 calls", "one sweep of 6 x 3 pairs"]


def test_what_must_hold_of_deformations_is_said(benchmark):
    timed = benchmark("diffeo")
    whats = ("relstab, bilinear", "the same map, dense Gaussian", "relstab, Gaussian in a window")

    def said(*milliseconds):
        rows = zip(whats, milliseconds, strict=True)
        return timed.promises([{"what": what, "ms per image": each} for what, each in rows])

    assert "takes 10.2 ms (at most 25)" in said(0.02, 5.0, 0.2) and "25 times faster" in said(0.02, 5.0, 0.2)
    assert "Not as promised" not in said(0.02, 5.0, 0.2)
    assert "Not as promised" in said(0.1, 5.0, 0.2) and "Not as promised" in said(0.02, 3.0, 0.2)


def test_a_busy_machine_is_refused(benchmark, monkeypatch):
    harness = benchmark("_harness")
    monkeypatch.setattr("os.getloadavg", lambda: (1.6, 0, 0))
    monkeypatch.setattr(sys, "argv", ["x"])
    with pytest.raises(SystemExit, match=r"the load is 1\.6, above 1\.5"):
        harness.quiet()
    monkeypatch.setattr(sys, "argv", ["x", "--busy"])
    assert harness.quiet() is False
