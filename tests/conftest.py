"""Shared fixtures. The suite runs every dtype-parametrised test in float32 and float64."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # two OpenMP threads on a busy two-core box are slower than one

import jaxtyping
import pytest


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
