"""What scale detection draws at random: balanced sets, translations that follow the enumeration, noise."""

import pytest
import torch

from relbook.studies.scale_detection import inputs
from relstab.data import scale_detection as tasks


def test_split_is_balanced_and_disjoint():
    task = tasks.line_task(1, 32, 11, 4)
    parts = inputs.balanced_split(task, 48, 128, seed=5)
    assert [len(part) for part in parts] == [48, 128, 48]
    assert len(torch.cat(parts).unique()) == 224
    assert all(int(task.labels[part].sum()) == 0 for part in parts)
    assert not torch.equal(parts[0], inputs.balanced_split(task, 48, 128, seed=6)[0])
    with pytest.raises(ValueError, match="train is 100 and validation is 128"):
        inputs.balanced_split(task, 100, 128, seed=0)
    with pytest.raises(ValueError, match=r"train is -2 .* 0 or more"):
        inputs.balanced_split(task, -2, 0, seed=0)


def test_random_translations_follow_the_enumeration():
    task = tasks.image_task(1, 5, 2).take(torch.arange(40))
    exact = sum(p * task.images(x).double() for p, x in tasks.translations(task, boundary="clip"))
    generator = torch.Generator().manual_seed(0)
    drawn = [task.images(inputs.random_translation(task, generator=generator)).double() for _ in range(2000)]
    assert (torch.stack(drawn).mean(0) - exact).abs().max() < 0.2  # pixels carry 3.5, five standard errors
    assert len(list(tasks.translations(task))) == 64


def test_noise():
    generator = torch.Generator().manual_seed(0)
    noise = inputs.rectified_noise(4000, (32,), 0.25, generator=generator)
    assert noise.min() >= 0
    assert noise.square().flatten(1).sum(1).mean().item() == pytest.approx(32 * 0.25 / 2, rel=0.02)
    norms = torch.rand(50, generator=generator).double()
    sphere = inputs.sphere_noise(norms, (4, 4), generator=generator)
    torch.testing.assert_close(sphere.flatten(1).norm(dim=1), norms, rtol=1e-12, atol=0)
