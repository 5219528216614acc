"""relstab.data.splits: batches on a device, normalisation, random subsets."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relstab.data import Dataset, Split, normalise, random_subset


def make_split(count=40, classes=4, channels=3, size=5):
    images = torch.arange(count * channels * size * size).remainder(251).to(torch.uint8)
    return Split(images.reshape(count, channels, size, size), torch.arange(count) % classes)


def make_dataset(**changes):
    split = make_split()
    fields = dict(  # noqa: C408
        name="x", train=split, test=split.take(range(7)), classes=("a", "b", "c", "d"), mean=(0.4, 0.5, 0.6),
        std=(0.1, 0.2, 0.3), digest="0" * 64, source="here", license="MIT",
    )  # fmt: skip
    return Dataset(**fields | changes)


@pytest.mark.parametrize(
    "indices", [[3, 1], range(2, 6), slice(2, 30, 7), torch.tensor([5, 5]), torch.arange(40) % 9 == 0, []]
)
def test_take_is_indexing(indices):
    split = make_split()
    taken = split.take(indices)
    plain = np.asarray(indices, dtype=int) if isinstance(indices, list | range) else indices
    assert np.array_equal(taken.images.numpy(), split.images.numpy()[plain])
    assert np.array_equal(taken.labels.numpy(), split.labels.numpy()[plain])
    assert len(taken) == len(taken.labels)


def test_take_outside_is_an_error():
    with pytest.raises(IndexError):
        make_split().take([40])


@pytest.mark.parametrize("indices", [[1.5], [1, 2.0], [True, False]])
def test_take_asks_for_whole_numbers(unchecked, indices):
    with pytest.raises(ValueError, match="a list of whole numbers is needed"):
        make_split().take(indices)


def test_splits_are_frozen_and_stay_uint8_on_their_device():
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dataset = make_dataset().to(device)
    assert dataset.train.images.device.type == dataset.test.labels.device.type == device
    assert dataset.train.images.dtype == torch.uint8
    assert dataset.train.take([1, 2]).images.device.type == device
    assert dataset.normalise(dataset.test.images).device.type == device
    with pytest.raises(AttributeError):
        dataset.name = "y"


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64), r"images has shape \(2, 4, 4\)"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.int32), torch.zeros(2, dtype=torch.int64), "type torch.int32"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(3, dtype=torch.int64), "one for each of the 2 images"),
        (torch.zeros(2, 1, 4, 4), torch.zeros(2), "labels has shape .* torch.float32"),
    ],
)
def test_bad_splits(unchecked, images, labels, message):
    with pytest.raises(ValueError, match=message):
        Split(images, labels)


def test_normalise_golden(dtype):
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 3, 1, 1)
    expected = torch.tensor([(0 - 0.4) / 0.1, (0.2 - 0.5) / 0.2, (1 - 0.6) / 0.3], dtype=dtype)
    dataset = make_dataset()
    found = dataset.normalise(images)
    assert found.dtype == torch.float32
    assert torch.allclose(found.flatten().to(dtype), expected, atol=1e-6)
    floats = images.to(dtype) / 255
    assert dataset.normalise(floats).dtype == dtype
    assert torch.allclose(dataset.normalise(floats).flatten(), expected, atol=1e-6)
    assert images.flatten().tolist() == [0, 51, 255]  # left as they were


def test_normalise_bad_input(unchecked):
    with pytest.raises(ValueError, match="images has 1 channels; this normalisation is for 3"):
        make_dataset().normalise(torch.zeros(2, 1, 4, 4))
    with pytest.raises(ValueError, match=r"images has type torch.int64"):
        normalise(torch.zeros(2, 1, 4, 4, dtype=torch.int64), (0.5,), (0.5,))
    for std in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=r"std is .*; each must be above 0"):
            normalise(torch.zeros(2, 1, 4, 4), (0.5,), (std,))


@given(size=st.integers(1, 32), seed=st.integers(0, 5), balanced=st.booleans())
def test_random_subset_properties(size, seed, balanced):
    images = torch.arange(40, dtype=torch.uint8).reshape(40, 1, 1, 1)
    split = Split(images, torch.tensor([0] * 8 + [1] * 12 + [2] * 11 + [5] * 9))
    subset = random_subset(split, size, seed=seed, balanced=balanced)
    drawn = subset.images.flatten().tolist()
    assert len(subset) == len(set(drawn)) == size
    assert torch.equal(subset.labels, split.labels[drawn])
    assert drawn == random_subset(split, size, seed=seed, balanced=balanced).images.flatten().tolist()
    larger = random_subset(split, 32, seed=seed, balanced=balanced)
    assert drawn == larger.images.flatten().tolist()[:size]
    if balanced:
        counts = [int((subset.labels == label).sum()) for label in (0, 1, 2, 5)]
        assert max(counts) - min(counts) <= 1


def test_random_subset_draws_depend_on_the_seed_alone():
    split = make_split()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    draws = [random_subset(split, 20, seed=seed).images for seed in (0, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(*draws)


@pytest.mark.parametrize(("size", "balanced"), [(0, False), (41, False), (-3, True), (33, True)])
def test_random_subset_bad_size(size, balanced):
    split = Split(make_split().images, torch.tensor([0] * 8 + [1] * 12 + [2] * 11 + [5] * 9))
    with pytest.raises(ValueError, match=f"size is {size}; "):
        random_subset(split, size, seed=0, balanced=balanced)


def test_constants_made_in_inference_mode_serve_gradients_later():
    mean, std = (0.123,), (0.456,)
    with torch.inference_mode():
        normalise(torch.zeros(1, 1, 2, 2), mean, std)
    images = torch.zeros(1, 1, 2, 2, requires_grad=True)
    normalise(images, mean, std).sum().backward()
    assert images.grad.unique().item() == pytest.approx(1 / 0.456)
