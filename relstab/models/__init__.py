"""The networks of papers A, B and C: `build(name)`, and the `surgery` done on them after training.

One family a file: `fc`, `lenet`, `alexnet`, `vgg`, `resnet`, `cifar_resnet`, `efficientnet`, `conv8`. They are the
authors' CIFAR variants, made of torchvision's modules wherever the outputs agree. Every model names its
`probe_points`.

>>> from relstab import models
>>> model = models.build("resnet18", width=0.25)
>>> model.probe_points[:3]
('relu', 'layer1.0', 'layer1.1')
"""

from relstab.models import surgery
from relstab.models.registry import FAMILIES, Family, build, family, has_dropout, names

__all__ = ["FAMILIES", "Family", "build", "family", "has_dropout", "names", "surgery"]
