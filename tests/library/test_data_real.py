"""The real image sets, where this machine has them: counts, order, class balance, means and deviations."""

import os
from pathlib import Path

import pytest
import torch

from relstab import data
from relstab.data import formats
from relstab.data.sources import SOURCES

REAL = os.environ.get("RELSTAB_DATA", "")
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.data
@pytest.mark.skipif(not DEBIAN.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_real_fashion_mnist():
    fashion = data.load("fashion-mnist", DEBIAN)
    assert fashion.train.labels.bincount().tolist() == [6000] * 10
    assert fashion.test.labels.bincount().tolist() == [1000] * 10
    pixels = fashion.train.images.double() / 255
    assert pixels.mean().item() == pytest.approx(0.2860, rel=0.005)
    assert pixels.std().item() == pytest.approx(0.3530, rel=0.005)
    mini = data.load("fashion-mini")
    for part, count in (("train", 300), ("test", 100)):
        small, large = getattr(mini, part), getattr(fashion, part)
        for label in range(10):
            first = large.images[large.labels == label][:count]
            assert torch.equal(small.images[small.labels == label], first)


needs_data = pytest.mark.skipif(not REAL, reason="RELSTAB_DATA is not set")


@pytest.mark.data
@needs_data
@pytest.mark.parametrize(
    ("name", "counts", "mean", "std", "first"),
    [
        ("mnist", (60000, 10000), (0.1307,), (0.3081,), [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]),
        ("cifar10-jpeg", (50000, 10000), (0.4914, 0.4822, 0.4465), None, [7, 6, 2, 3, 9, 0, 0, 8, 5, 6]),
        ("cifar10-lossless", (5085, 1017), (0.4914, 0.4822, 0.4465), None, [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]),
        ("cifar10-lossless-8k", (8068, 1017), (0.4914, 0.4822, 0.4465), None, [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]),
    ],
)
def test_real_data(name, counts, mean, std, first):
    if not any((Path(REAL) / relative).exists() for relative, _ in SOURCES[name].layouts if relative != "."):
        pytest.skip(f"RELSTAB_DATA does not hold {name}")
    loaded = data.load(name, REAL)
    assert (len(loaded.train), len(loaded.test)) == counts
    assert loaded.test.labels[:10].tolist() == first
    pixels = loaded.train.images.double() / 255
    assert pixels.mean((0, 2, 3)).tolist() == pytest.approx(mean, rel=0.005)
    if std is None:  # CIFAR's customary deviations are means over images; JPEG takes nearly 1 % of them
        within = pixels.flatten(2).std(2).mean(0).tolist()
        assert within == pytest.approx((0.2023, 0.1994, 0.2010), rel=0.01 if loaded.lossy else 0.005)
    else:
        assert pixels.std((0, 2, 3)).tolist() == pytest.approx(std, rel=0.005)


@pytest.mark.data
@needs_data
def test_real_imagenet_sample():
    if not (Path(REAL) / "imagenet-samples-500.tar").exists():
        pytest.skip("RELSTAB_DATA does not hold imagenet-samples-500.tar")
    sample = data.load("imagenet", REAL)
    assert sample.test.images.shape == (500, 3, 224, 224)
    assert sample.test.labels.tolist() == list(range(0, 1000, 2))
    names = formats.picture_names(Path(sample.source))
    plain = [name[10:-4].replace("_", " ").lower() for name in names]
    same = sum(a == sample.classes[2 * i].lower().replace("-", " ") for i, a in enumerate(plain))
    assert same > 450  # the file names are torchvision's class names, but for punctuation
