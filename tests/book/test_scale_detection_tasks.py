"""The scale-detection tasks: exact counts, labels and moves."""

import itertools
from math import hypot

import pytest
import torch

from relbook.studies.scale_detection import tasks

ORIGIN = torch.zeros(1, 1, dtype=torch.long)


def counts(task):
    return int((task.labels > 0).sum()), int((task.labels < 0).sum())


def test_counts_on_the_line():
    assert len(tasks.line_task(1, 32, 11)) == 32 * 31 // 2
    assert counts(tasks.line_task(1, 32, 11, 4)) == (256, 112)
    assert counts(tasks.line_task(1, 32, 11, 2, convention="code")) == (256, 112)
    assert counts(tasks.line_task(1, 32, 11, 4, convention="code")) == (192, 48)
    assert counts(tasks.line_task(2, 128, 32)) == (1984, 6144)


def test_counts_on_the_image_with_and_without_the_diagonal():
    task = tasks.image_task(1, 28, 14, gap=2)
    assert len(tasks.image_task(1, 28, 14)) == 784 * 783 // 2 == 306_936
    assert counts(task) == (130_206, 145_202)
    # The authors list permutations of (row, column), which leaves the 28 diagonal pixels out.
    off = (task.positions[..., 0] != task.positions[..., 1]).all(1)
    assert counts(task.take(off.nonzero().flatten())) == (120_767, 135_397)
    assert 756 * 755 // 2 == 285_390


def test_image_labels_by_hand():
    size, xi, gap = 7, 3.5, 1.0
    task = tasks.image_task(1, size, xi, gap)
    expected = {}
    for a, b in itertools.combinations(itertools.product(range(size), repeat=2), 2):
        d = hypot(*(u - v for u, v in zip(a, b, strict=True)))
        if not xi - gap / 2 <= d < xi + gap / 2:
            expected[a, b] = 1 if d < xi else -1
    found = {(tuple(a), tuple(b)): y for (a, b), y in zip(task.positions.tolist(), task.labels.tolist(), strict=True)}
    assert found == expected


def test_task_2_on_the_image_is_the_same_patch():
    task = tasks.image_task(2, 8, 4)
    for (a, b), y in zip(task.positions.tolist(), task.labels.tolist(), strict=True):
        assert y == (1 if [u // 4 for u in a] == [u // 4 for u in b] else -1)
    assert counts(task) == (4 * 16 * 15 // 2, 64 * 63 // 2 - 4 * 16 * 15 // 2)


def test_images_carry_norm_squared_equal_to_their_size(dtype):
    for task in (tasks.line_task(2, 16, 4), tasks.image_task(1, 5, 2)):
        images = task.images(dtype=dtype)
        assert images.dtype == dtype
        torch.testing.assert_close(
            images.square().flatten(1).sum(1), torch.full((len(task),), float(images[0].numel()), dtype=dtype)
        )
        lit = images.flatten(2).squeeze(1).nonzero()[:, 1].reshape(-1, 2)
        width = task.shape[-1]
        flat = [sorted(p[0] * width + p[1] if len(p) > 1 else p[0] for p in pair) for pair in task.positions.tolist()]
        assert lit.tolist() == flat
    assert tasks.image_task(1, 28, 14).images(value=392.0)[0].max() == 392


def test_pixels_that_meet_add_up():
    task = tasks.line_task(1, 8, 3)
    positions = torch.tensor([[[2], [2]]])
    assert task.images(positions, value=1.0).flatten().tolist() == [0, 0, 2, 0, 0, 0, 0, 0]


def test_moves_are_those_of_a_rounded_unit_vector():
    steps, weights = tasks.moves(2)
    angle = torch.linspace(0, 2 * torch.pi, 120_001, dtype=torch.float64)[:-1]
    rounded = torch.stack([angle.cos(), angle.sin()], 1).round().long()
    for step, weight in zip(steps, weights, strict=True):
        assert (rounded == step).all(1).double().mean().item() == pytest.approx(weight.item(), abs=1e-4)
    assert tasks.moves(1)[0].flatten().tolist() == [-1, 1]
    assert tasks.moves(1, stay=True)[1].tolist() == pytest.approx([1 / 3] * 3)


def test_boundaries():
    pixels = torch.tensor([[0], [3], [4], [7]])
    back, on = torch.tensor([-1]), torch.tensor([1])
    go = tasks.displaced
    assert go(pixels, back, (8,)).flatten().tolist() == [7, 2, 3, 6]
    assert go(pixels, on, (8,), boundary="clip").flatten().tolist() == [1, 4, 5, 7]
    assert go(pixels, on, (8,), boundary="block", block=4).flatten().tolist() == [1, 3, 5, 7]
    assert go(pixels, back, (8,), boundary="block", block=4).flatten().tolist() == [0, 2, 4, 6]


def test_block_moves_keep_every_label():
    for task in (tasks.line_task(2, 32, 8), tasks.image_task(2, 6, 3)):
        seen = 0.0
        for probability, positions in tasks.translations(task, boundary="block"):
            patch = positions.div(task.block, rounding_mode="floor")
            same = (patch[:, 0] == patch[:, 1]).all(-1)
            assert torch.equal(torch.where(same, 1, -1), task.labels)
            seen += probability
        assert seen == pytest.approx(1, abs=1e-14)


def test_split_is_balanced_and_disjoint():
    task = tasks.line_task(1, 32, 11, 4)
    parts = tasks.balanced_split(task, 48, 128, seed=5)
    assert [len(part) for part in parts] == [48, 128, 48]
    assert len(torch.cat(parts).unique()) == 224
    assert all(int(task.labels[part].sum()) == 0 for part in parts)
    assert not torch.equal(parts[0], tasks.balanced_split(task, 48, 128, seed=6)[0])
    with pytest.raises(ValueError, match="train is 100 and validation is 128"):
        tasks.balanced_split(task, 100, 128, seed=0)
    with pytest.raises(ValueError, match=r"train is -2 .* 0 or more"):
        tasks.balanced_split(task, -2, 0, seed=0)


def test_random_translations_follow_the_enumeration():
    task = tasks.image_task(1, 5, 2).take(torch.arange(40))
    exact = sum(p * task.images(x).double() for p, x in tasks.translations(task, boundary="clip"))
    generator = torch.Generator().manual_seed(0)
    drawn = [task.images(tasks.random_translation(task, generator=generator)).double() for _ in range(2000)]
    assert (torch.stack(drawn).mean(0) - exact).abs().max() < 0.2  # pixels carry 3.5, five standard errors
    assert len(list(tasks.translations(task))) == 64


def test_noise():
    generator = torch.Generator().manual_seed(0)
    noise = tasks.rectified_noise(4000, (32,), 0.25, generator=generator)
    assert noise.min() >= 0
    assert noise.square().flatten(1).sum(1).mean().item() == pytest.approx(32 * 0.25 / 2, rel=0.02)
    norms = torch.rand(50, generator=generator).double()
    sphere = tasks.sphere_noise(norms, (4, 4), generator=generator)
    torch.testing.assert_close(sphere.flatten(1).norm(dim=1), norms, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tasks.line_task(3, 32, 11), "task is 3"),
        (lambda: tasks.line_task(2, 32, 11), "xi is 11"),
        (lambda: tasks.line_task(2, 32, 8, 2), "gap is 2"),
        (lambda: tasks.line_task(1, 32, 8, convention="mine"), "convention is 'mine'"),
        (lambda: tasks.line_task(1, 0, 8), "has 0 pixels"),
        (lambda: tasks.line_task(1, 32, float("nan")), "xi is nan"),
        (lambda: tasks.line_task(1, 32, 8, float("nan")), "gap nan"),
        (lambda: tasks.image_task(2, 28, 0), "xi is 0"),
        (lambda: tasks.moves(3), "dimensions is 3"),
        (lambda: tasks.displaced(ORIGIN, ORIGIN, (4,), boundary="wall"), "boundary is 'wall'"),
        (lambda: list(tasks.translations(tasks.line_task(1, 8, 3), boundary="block")), "block is None"),
    ],
)
def test_bad_input_is_named(call, words, unchecked):
    with pytest.raises(ValueError, match=words):
        call()
