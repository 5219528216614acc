"""Shared fixtures. The suite runs every dtype-parametrised test in float32 and float64."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two OpenMP threads on a busy two-core box are slower than one

import jaxtyping
import pytest

# Modules whose numbers depend on the processor and its libraries: CI runs them again as other processors would
NUMERICAL = {
    "test_cosine", "test_diffeo", "test_doctests", "test_fields", "test_filters", "test_folds", "test_random_fields",
    "test_sensitivity", "test_spectrum", "test_surgery", "test_theory", "test_thin_plate",
    "test_train", "test_transforms",
}  # fmt: skip


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.stem in NUMERICAL and not item.get_closest_marker("data"):
            item.add_marker("numerical")


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    import torch

    return getattr(torch, request.param)


@pytest.fixture
def unchecked():
    """Turn the run-time shape checker off, to see the message a user without it would see."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)
