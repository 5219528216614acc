"""Synthetic tasks: classes that are deformed copies of one image each."""

import pytest
import torch

from relbook.studies.ruderman.templates import deformed_templates
from relstab.diffeo import thin_plate


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def originals(count=3):
    return torch.rand(count, 1, 28, 28, generator=seeded(9))


def test_copies_are_deformations_of_the_template_of_their_label(dtype):
    images = originals().to(dtype)
    copies, labels = deformed_templates(images, 4, 2.0, generator=seeded())
    assert copies.shape == (12, 1, 28, 28)
    assert copies.dtype == dtype
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 1, 2] * 4
    assert torch.equal(copies, thin_plate.deform(images[labels], maximum=2.0, generator=seeded()))


def test_more_copies_continue_fewer():
    few, labels = deformed_templates(originals(), 2, 3.0, generator=seeded())
    many, more = deformed_templates(originals(), 5, 3.0, generator=seeded())
    assert torch.equal(many[:6], few)
    assert torch.equal(more[:6], labels)


def test_strength_is_the_largest_displacement_of_a_control_point():
    images = originals(2)
    copies, labels = deformed_templates(images, 3, 0, generator=seeded())
    assert torch.equal(copies, images[labels])
    distances = [
        (deformed_templates(images, 50, c, generator=seeded())[0] - images.repeat(50, 1, 1, 1)).norm()
        for c in (0.25, 0.5, 1)
    ]
    assert distances[0] < distances[1] < distances[2]


@pytest.mark.parametrize(
    ("count", "per_class", "strength", "sentence"),
    [
        (1, 2, 1.0, "images has 1 templates"),
        (2, 0, 1.0, "per_class is 0"),
        (2, 2.5, 1.0, "per_class is 2.5"),
        (2, 1, -1.0, "maximum is -1.0"),
    ],
)
def test_bad_input_is_named(count, per_class, strength, sentence, unchecked):
    with pytest.raises(ValueError, match=sentence):
        deformed_templates(originals(count), per_class, strength, generator=seeded())
