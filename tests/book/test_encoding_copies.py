"""Pictures re-encoded as JPEG: what is kept, what is lost, and that another codec would be noticed."""

import numpy as np
import pytest
import torch

from relbook.studies.encoding import copies
from relbook.studies.encoding.copies import ENCODINGS, SAMPLE, TO_LUMINANCE, Encoding, reencoded
from relstab import data
from relstab.data.splits import Split


@pytest.fixture(scope="module")
def pictures():
    """Smooth colours with fine noise on them, far from black and white."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(12, 3, 4, 4, generator=generator) * 120 + 60
    smooth = torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")
    return (smooth + 12 * torch.randn(12, 3, 32, 32, generator=generator)).clamp(30, 225).byte()


def distance(a, b):
    return (a.double() - b.double()).square().mean().sqrt().item()


def planes(images):
    return images.permute(0, 2, 3, 1).double().numpy() @ TO_LUMINANCE.T


def test_copies_are_the_same_every_time_and_closer_at_higher_quality(pictures):
    by_quality = [distance(pictures, reencoded(pictures, Encoding("", quality))) for quality in (10, 50, 75, 95)]
    assert by_quality == sorted(by_quality, reverse=True) and by_quality[-1] > 0
    assert torch.equal(reencoded(pictures, Encoding("", 75)), reencoded(pictures, Encoding("", 75)))


def test_a_picture_is_encoded_by_itself(pictures):
    together = reencoded(pictures, Encoding("", 75))
    assert torch.equal(together[3:4], reencoded(pictures[3:4], Encoding("", 75)))


def test_subsampling_loses_colour_and_no_luminance(pictures):
    half, full = (planes(reencoded(pictures, Encoding("", 75, name))) for name in ("4:2:0", "4:4:4"))
    original = planes(pictures)
    lost = [np.sqrt(np.square(one - original).mean((0, 1, 2))) for one in (half, full)]
    assert (lost[0][1:] > 1.05 * lost[1][1:]).all()
    assert lost[0][0] == pytest.approx(lost[1][0], rel=0.1)


@pytest.mark.parametrize(("kept", "changed", "name"), [([1, 2], [0], "luminance"), ([0], [1, 2], "chrominance")])
def test_one_plane_alone_is_replaced(pictures, kept, changed, name):
    both, one = (planes(reencoded(pictures, Encoding("", 75, planes=which))) for which in ("all", name))
    original = planes(pictures)
    inside = (pictures > 60).all(1).numpy() & (pictures < 195).all(1).numpy()  # no cut to 0 ... 255 there
    assert np.abs(one - original)[inside][:, kept].max() < 1.1  # the rounding to whole grey levels
    assert np.abs(one - both)[inside][:, changed].max() < 1.1
    assert np.abs(one - original)[inside][:, changed].max() > 5


def test_grey_pictures_have_no_chrominance():
    grey = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert reencoded(grey, Encoding("", 75)).shape == grey.shape
    with pytest.raises(ValueError, match="planes is 'luminance'; it must be 'all' for grey pictures"):
        reencoded(grey, Encoding("", 75, planes="luminance"))
    with pytest.raises(ValueError, match="images has 2 channels"):
        reencoded(grey.expand(1, 2, 16, 16), Encoding("", 75))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"quality": 0}, "quality is 0; it must be from 1 to 95"),
        ({"quality": 75, "subsampling": "4:1:0"}, "subsampling is '4:1:0'"),
        ({"quality": 75, "planes": "red"}, "planes is 'red'; it must be one of all, luminance, chrominance"),
    ],
)
def test_a_bad_encoding_is_one_sentence(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Encoding("", **fields)


def test_a_copied_set_keeps_order_labels_and_says_that_it_is_lossy():
    original, copied = data.load("fashion-mini"), copies.loaded("fashion-mini-jpeg75")
    assert copied.lossy and not original.lossy and copied.name == "fashion-mini-jpeg75"
    for part in ("train", "test"):
        one, two = getattr(original, part), getattr(copied, part)
        assert torch.equal(one.labels, two.labels) and len(one) == len(two)
        assert 0 < distance(one.images, two.images) < 12
    assert copies.digest("fashion-mini-jpeg75") == copied.digest != original.digest


def test_another_codec_gives_another_digest(monkeypatch):
    original = data.load("fashion-mini")
    encoding = ENCODINGS["fashion-mini-jpeg75"]
    before = copies.encoding_digest(original.digest, original.train, encoding)
    copy = copies._copy
    monkeypatch.setattr(copies, "_copy", lambda *arguments: copy(*arguments) ^ 1)
    assert copies.encoding_digest(original.digest, original.train, encoding) != before


def test_the_digest_follows_original_and_settings():
    split = Split(torch.zeros(SAMPLE + 1, 1, 8, 8, dtype=torch.uint8), torch.zeros(SAMPLE + 1, dtype=torch.int64))
    digests = {copies.encoding_digest(name, split, Encoding("a", quality)) for name in "ab" for quality in (75, 95)}
    assert len(digests) == 4


@pytest.mark.data
def test_the_larger_lossless_set_begins_with_the_smaller():
    try:
        small, large = data.load("cifar10-lossless"), data.load("cifar10-lossless-8k")
    except FileNotFoundError:
        pytest.skip("the lossless images of CIFAR-10 are not on this machine")
    assert torch.equal(large.train.images[: len(small.train)], small.train.images)
    assert torch.equal(large.test.images, small.test.images)
    assert len(large.train.images.flatten(1).unique(dim=0)) == 8068
    assert large.train.labels.bincount().tolist() == [810, 777, 808, 783, 856, 782, 808, 799, 835, 810]
    for name, encoding in ENCODINGS.items():  # first in the order of distance, colours of quality 75 are the coarsest
        if encoding.original == large.name:
            sample = large.train.images[:200]
            assert 3 < distance(sample, reencoded(sample, encoding)) < 10, name
