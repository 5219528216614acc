"""The augmentation: one field per image, shared by its mask, boxes and points; reproducible; exact at 0."""

import copy
import math
import pickle
import warnings

import numpy as np
import PIL.Image
import pytest
import torch

from relstab import diffeo
from relstab.vision import tv_tensors, v2

SIZE = (40, 48)
KEY_POINTS = hasattr(tv_tensors, "KeyPoints")
ROTATED = hasattr(tv_tensors.BoundingBoxFormat, "CXCYWHR")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def image(*batch, dtype=torch.float32):
    return torch.rand(*batch, 3, *SIZE, generator=seeded(), dtype=dtype)


def boxes(values, form="XYXY"):
    return tv_tensors.BoundingBoxes(values, format=form, canvas_size=SIZE)


def points(values):
    return tv_tensors.KeyPoints(values, canvas_size=SIZE)


def test_fields_are_those_of_deform():
    """With fixed parameters the transform is `deform` with a generator of the same seed."""
    batch = image(5)
    moved = diffeo.Diffeo(displacement=1.5, cut=4, seed=3)(batch)
    assert torch.allclose(moved, diffeo.deform(batch, displacement=1.5, cut=4, generator=seeded(3)), atol=1e-6)


@pytest.mark.parametrize("parameters", [{}, {"displacement": (0.5, 2.0), "cut": (2, 6)}])
def test_each_image_has_its_own_field_whatever_the_batch(parameters):
    batch = image(1).expand(7, -1, -1, -1)
    moved = diffeo.Diffeo(**parameters, seed=1)(batch)
    for first in range(7):
        for second in range(first):
            assert not torch.allclose(moved[first], moved[second], atol=1e-3)
    assert torch.allclose(diffeo.Diffeo(**parameters, seed=1)(batch[:3]), moved[:3], atol=1e-6)
    one_by_one = diffeo.Diffeo(**parameters, seed=1)
    assert torch.allclose(torch.stack([one_by_one(single) for single in batch]), moved, atol=1e-6)


def test_ranges_are_drawn_uniformly():
    transform = diffeo.Diffeo(displacement=(0.5, 2.0), cut=(2, 5), seed=0)
    coefficients, temperature = transform._draw(4000, (32, 32))
    cuts = torch.tensor([max((c[0].nonzero() + 1).max().item(), 2) for c in coefficients])
    assert torch.bincount(cuts, minlength=6)[2:].tolist() == pytest.approx([1000] * 4, abs=120)
    unit = torch.tensor([diffeo.temperature(1.0, c, 32) for c in cuts.tolist()])
    deltas = (temperature / unit).sqrt()
    assert (deltas.min() >= 0.499).item()
    assert (deltas.max() <= 2.001).item()
    assert deltas.mean().item() == pytest.approx(1.25, abs=0.03)
    assert deltas.std().item() == pytest.approx(1.5 / math.sqrt(12), abs=0.02)
    for cut in (2, 5):
        assert torch.equal(coefficients[cuts == cut].abs().sum((0, 1))[:cut, :cut] > 0, diffeo.kept_modes(cut))


def test_a_seed_repeats_and_none_does_not():
    batch = image(2)
    assert torch.equal(diffeo.Diffeo(seed=5)(batch), diffeo.Diffeo(seed=5)(batch))
    assert not torch.equal(diffeo.Diffeo(seed=5)(batch), diffeo.Diffeo(seed=6)(batch))
    transform = diffeo.Diffeo(seed=5)
    assert not torch.equal(transform(batch), transform(batch))
    before = torch.get_rng_state()
    assert not torch.equal(diffeo.Diffeo()(batch), diffeo.Diffeo()(batch))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))])
def test_copies_continue_the_sequence(duplicate):
    transform, single = diffeo.Diffeo(seed=2), image()
    transform(single)
    other = duplicate(transform)
    assert torch.equal(other(single), transform(single))


class Constant(torch.utils.data.Dataset):
    """The same image again and again."""

    def __init__(self, transform):
        self.transform, self.image = transform, image()

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.transform(self.image)


def test_workers_and_epochs_have_their_own_sequences():
    transform = diffeo.Diffeo(seed=0)
    transform(image())  # streams that exist before the workers start must not be shared by them

    def epochs():
        loader = torch.utils.data.DataLoader(Constant(transform), num_workers=2, generator=seeded(9))
        return torch.cat([sample for _ in range(2) for sample in loader])

    seen = epochs()
    for first in range(8):
        for second in range(first):
            assert not torch.allclose(seen[first], seen[second], atol=1e-3)
    assert torch.equal(seen, epochs())  # the loader's generator makes the whole sequence reproducible


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_transform_that_was_called_goes_to_workers_of_every_kind(method):
    transform = diffeo.Diffeo(seed=0)
    transform(image())
    loader = torch.utils.data.DataLoader(
        Constant(transform), num_workers=1, generator=seeded(9), multiprocessing_context=method
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python, about the threads of the parent
        seen = torch.cat(list(loader))
    assert len(seen) == 4 and not torch.allclose(seen[0], seen[1], atol=1e-3)


def test_p_is_the_share_of_images_that_move():
    batch = image(1).expand(400, -1, -1, -1)
    every, some, none = (diffeo.Diffeo(2.0, p=p, seed=1)(batch) for p in (1.0, 0.3, 0.0))
    assert torch.equal(none, batch)
    still = (some == batch).flatten(1).all(1)
    assert still.double().mean().item() == pytest.approx(0.7, abs=0.07)
    assert torch.equal(some[~still], every[~still])
    one_by_one = diffeo.Diffeo(2.0, p=0.3, seed=1)
    assert torch.allclose(torch.stack([one_by_one(single) for single in batch[:40]]), some[:40], atol=1e-6)
    frames = boxes(torch.tensor([[12.0, 10, 36, 30]]).expand(400, 4))
    _, moved = diffeo.Diffeo(2.0, p=0.3, seed=1)(tv_tensors.Image(batch), frames)
    assert torch.equal((moved == frames).all(1), still)


# What is moved


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_zero_displacement_is_the_identity(interpolation):
    transform = diffeo.Diffeo(0, interpolation=interpolation)
    given = (tv_tensors.Image(image()), tv_tensors.Mask(torch.randint(9, SIZE)), boxes([[3.1, 4, 20, 30]]))
    given += (points([[3.1, 4.0]]),) if KEY_POINTS else ()
    for before, after in zip(given, transform(*given), strict=True):
        assert torch.equal(before, after)
        assert type(before) is type(after)
    assert torch.equal(transform(image()), image())


def test_image_and_mask_share_the_field():
    """A mask that is a level of the image stays that level, up to the half pixel of "nearest"."""
    labels = torch.zeros(SIZE, dtype=torch.int64)
    labels[10:30, 12:36] = 1
    picture = tv_tensors.Image(labels[None].float())
    for mask in (labels, labels[None], labels.expand(5, -1, -1)):
        moved, moved_mask = diffeo.Diffeo(3.0, seed=1)(picture, tv_tensors.Mask(mask))
        assert type(moved_mask) is tv_tensors.Mask
        assert moved_mask.shape == mask.shape
        assert moved_mask.dtype == torch.int64
        assert ((moved[0] > 0.5) == (moved_mask.reshape(-1, *SIZE)[0] == 1)).double().mean() > 0.98
        assert (moved_mask.reshape(-1, *SIZE)[0] != labels).any()


def test_batched_masks_and_boxes_follow_their_own_image():
    labels = torch.zeros(3, *SIZE)
    labels[:, 10:30, 12:36] = 1
    corners = torch.tensor([[12.0, 10, 36, 30]]).expand(3, 4)  # torchvision keeps boxes in two axes: one per image
    moved, masks, frames = diffeo.Diffeo(3.0, seed=1)(
        tv_tensors.Image(labels[:, None]), tv_tensors.Mask(labels), boxes(corners)
    )
    for picture, mask, frame in zip(moved, masks, frames, strict=True):
        assert ((picture[0] > 0.5) == (mask == 1)).double().mean() > 0.98
        rows, columns = (mask.any(axis).nonzero() for axis in (1, 0))
        seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert (frame - seen).abs().max() <= 1


@pytest.mark.parametrize("form", ["XYXY", "XYWH", "CXCYWH"])
def test_boxes_of_every_format_enclose_the_moved_object(form):
    corners = torch.tensor([[12.0, 10, 36, 30], [0, 0, 48, 40]])
    given = v2.functional.convert_bounding_box_format(boxes(corners), new_format=form)
    labels = torch.zeros(2, *SIZE)
    labels[0, 10:30, 12:36] = 1
    for seed in range(5):
        moved, masks = diffeo.Diffeo((2.0, 3.0), seed=seed)(given, tv_tensors.Mask(labels))
        assert type(moved) is tv_tensors.BoundingBoxes
        assert moved.format == given.format
        assert moved.canvas_size == SIZE
        back = v2.functional.convert_bounding_box_format(moved, new_format="XYXY").as_subclass(torch.Tensor)
        assert torch.allclose(back[1], corners[1], atol=5e-3)  # the frame does not move
        rows, columns = (masks[0].any(axis).nonzero() for axis in (1, 0))
        seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        assert (back[0] - seen).abs().max() <= 1


def test_integer_and_absent_boxes():
    transform = diffeo.Diffeo(3.0, seed=1)
    whole = transform(boxes(torch.tensor([[12, 10, 36, 30]])))
    assert whole.dtype == torch.int64
    assert (whole - torch.tensor([[12, 10, 36, 30]])).abs().max() <= 6
    assert transform(boxes(torch.zeros(0, 4))).shape == (0, 4)


@pytest.mark.skipif(not KEY_POINTS, reason="key points came with torchvision 0.23")
def test_key_points_move_with_the_image():
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(48.0), indexing="ij")
    blob = (-((x - 20) ** 2 + (y - 15) ** 2) / 2).exp()
    picture, moved = diffeo.Diffeo(2.0, seed=1)(tv_tensors.Image(blob[None]), points([[20.0, 15.0]]))
    weight = picture[0] / picture.sum()
    centre = torch.stack(((weight * x).sum(), (weight * y).sum()))
    assert type(moved) is tv_tensors.KeyPoints
    assert (moved[0] - centre).norm() < 0.3
    assert (moved[0] - torch.tensor([20.0, 15.0])).norm() > 0.5


def test_uint8_is_rounded():
    picture = torch.randint(256, (3, *SIZE), dtype=torch.uint8, generator=seeded())
    moved = diffeo.Diffeo(seed=1)(picture)
    exact = diffeo.Diffeo(seed=1)(picture.float())
    assert moved.dtype == torch.uint8
    assert torch.equal(moved, exact.round().to(torch.uint8))


@pytest.mark.parametrize(("mode", "channels"), [("L", ()), ("RGB", (3,)), ("RGBA", (4,))])
def test_pil_images(mode, channels):
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, *channels), dtype=np.uint8)
    moved = diffeo.Diffeo(seed=1)(PIL.Image.fromarray(pixels))
    assert moved.mode == mode
    tensor = torch.from_numpy(pixels.reshape(*SIZE, -1)).permute(2, 0, 1)
    expected = diffeo.Diffeo(seed=1)(tensor)
    assert np.array_equal(np.asarray(moved).reshape(*SIZE, -1), expected.permute(1, 2, 0).numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floating_types_are_kept(dtype):
    moved = diffeo.Diffeo(seed=1)(tv_tensors.Image(image(dtype=torch.float64).to(dtype)))
    assert moved.dtype == dtype
    assert type(moved) is tv_tensors.Image


def test_works_inside_compose_and_leaves_labels_alone():
    pipeline = v2.Compose([diffeo.Diffeo(seed=0), v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32)])
    moved, label = pipeline(tv_tensors.Image(image()), 7)
    assert moved.shape == (3, *SIZE)
    assert label == 7
    moved, label = diffeo.Diffeo(seed=0)(image(), torch.tensor(3))
    assert label.item() == 3
    assert "displacement=(1.0, 1.0)" in repr(diffeo.Diffeo())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_inputs_get_the_same_fields():
    here, there = (diffeo.Diffeo(seed=1)(batch) for batch in (image(4), image(4).cuda()))
    assert there.is_cuda
    assert torch.allclose(here, there.cpu(), atol=1e-5)


# Bad input


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"displacement": -1.0}, "displacement is -1.0"),
        ({"displacement": (2.0, 1.0)}, r"displacement is \(2.0, 1.0\)"),
        ({"displacement": math.nan}, "displacement is nan"),
        ({"cut": 1}, "cut is 1"),
        ({"cut": (2, 4.5)}, "cut is 4.5"),
        ({"interpolation": "cubic"}, "interpolation is 'cubic'"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"p": 1.5}, "p is 1.5; it must be a probability"),
        ({"p": "half"}, "p is 'half'; it must be a probability"),
        ({"displacement": "1"}, "displacement is '1'; it must be a number"),
        ({"cut": 10**9}, "cut is 1000000000; it must be at most 1000"),
    ],
)
def test_bad_parameters(parameters, message, unchecked):
    with pytest.raises(ValueError, match=message):
        diffeo.Diffeo(**parameters)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (lambda: tv_tensors.Video(torch.rand(4, 3, *SIZE)), "cannot deform a Video"),
        (lambda: torch.rand(SIZE), "image has shape"),
        (lambda: np.zeros((*SIZE, 3)), r"Diffeo was given no image; .* torch.from_numpy\(array\).permute\(2, 0, 1\)"),
        (lambda: torch.rand(2, 2, 3, *SIZE), "image has shape"),
        (lambda: torch.zeros(3, *SIZE, dtype=torch.int32), "images are torch.int32"),
        (lambda: image() * math.nan, "images holds NaN"),
        (lambda: (tv_tensors.Image(image()), tv_tensors.Mask(torch.zeros(8, 8))), "inputs have the sizes"),
        (lambda: (tv_tensors.Image(image(2)), tv_tensors.Image(image(3))), "batches have the lengths"),
        (lambda: (tv_tensors.Image(image(2)), tv_tensors.Mask(torch.zeros(SIZE))), "comes with 2 images"),
        (lambda: (tv_tensors.Image(image(2)), boxes(torch.zeros(5, 4))), "comes with 2 images"),
        (lambda: PIL.Image.new("1", (8, 8)), "PIL image has mode 1"),
        pytest.param(
            lambda: boxes(torch.zeros(1, 5), "CXCYWHR"),
            "boxes have format CXCYWHR",
            marks=pytest.mark.skipif(not ROTATED, reason="torchvision has no rotated boxes"),
        ),
    ],
)
def test_bad_inputs(inputs, message, unchecked):
    with pytest.raises(ValueError, match=message) as error:
        diffeo.Diffeo()(inputs())
    assert "\n" not in str(error.value)
