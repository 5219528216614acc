r"""Images whose classes are deformed copies of one template each: the synthetic tasks of paper C, Fig. 5.

The label of $\tau x_c$ is $c$, whatever the random deformation $\tau$. The stronger the deformations, the more
invariance the task asks for.

>>> images, labels = deformed_templates(torch.rand(10, 1, 28, 28), 3, 2, generator=torch.Generator().manual_seed(0))
>>> images.shape, labels[:12].tolist()
(torch.Size([30, 1, 28, 28]), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1])
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from relstab.diffeo import thin_plate
from relstab.diffeo.fields import is_integer


def deformed_templates(
    images: Float[Tensor, "class channel height width"],
    per_class: int,
    strength: float | int,
    *,
    points: int = 3,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "copy channel height width"], Int64[Tensor, " copy"]]:
    """Deformed copies of every image, `per_class` of each, and the numbers of the images as labels.

    *An inference.* C calls its four data sets "strength C = 1, 2, 3, 4" and does not say what C multiplies. Here
    it is the largest displacement in pixels of the control points, along x and along y, on the 3 x 3 grid of C's
    CIFAR-10 deformations (`relstab.diffeo.thin_plate`). Copies run through the classes in turn, so that more copies
    continue fewer with the same generator.

    Raises ValueError for fewer than two images, per_class < 1, and as `relstab.diffeo.thin_plate.deform` for the
    rest; strength 0 repeats the images. Source: paper C Sec. 4, Fig. 5.

    >>> templates = torch.rand(2, 1, 8, 8)
    >>> images, labels = deformed_templates(templates, 3, 0, generator=torch.Generator())
    >>> labels.tolist(), torch.equal(images, templates.repeat(3, 1, 1, 1))
    ([0, 1, 0, 1, 0, 1], True)
    """
    if len(images) < 2:
        raise ValueError(f"images has {len(images)} templates; a task needs two or more, one a class")
    if not is_integer(per_class) or per_class < 1:
        raise ValueError(f"per_class is {per_class}; it must be an integer, 1 or more")
    copies = images.repeat(per_class, 1, 1, 1)
    labels = torch.arange(len(images), device=images.device).repeat(per_class)
    return thin_plate.deform(copies, points=points, maximum=strength, generator=generator), labels
