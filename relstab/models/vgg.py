"""VGG11, 13, 16 and 19, with and without BatchNorm, as in papers A and B: torchvision's convolutional part,
then one single linear layer (no dropout, no layers of 4096 units).

Five 2x2 poolings bring 32 pixels to 1; larger images are averaged over what is left. Images below 32 pixels
are zero-padded to 32 (28-pixel ones by 2 on each side). State-dict keys are torchvision's.

>>> from relstab import models
>>> models.build("vgg11_bn", width=0.1).probe_points[:3]
('features.2', 'features.6', 'features.10')
"""

from collections import OrderedDict

from torch import nn

from relstab.models.common import pad_to, scaled
from relstab.vision import models

_CONFIGURATION = {11: "A", 13: "B", 16: "D", 19: "E"}


def vgg(
    layers: int, batch_norm: bool, *, in_channels: int, num_classes: int, width: float | int, image_size: int
) -> nn.Module:
    """VGG of `layers` (11, 13, 16, 19) weight layers in the original count. Probed after each ReLU.

    The padding, if any, is the child "pad" of `features`, so the numbers of the other children stay
    torchvision's.
    """
    plan = models.vgg.cfgs[_CONFIGURATION[layers]]
    plan = [entry if entry == "M" else scaled(entry, width) for entry in plan]
    features = models.vgg.make_layers(plan, batch_norm)
    features[0] = nn.Conv2d(in_channels, plan[0], 3, padding=1)
    children = OrderedDict(features.named_children())
    if pad := pad_to(32, image_size):
        children["pad"] = pad
        children.move_to_end("pad", last=False)
    model = nn.Sequential(
        OrderedDict(
            features=nn.Sequential(children),
            avgpool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=nn.Linear(plan[-2], num_classes),  # the plan ends with a pooling
        )
    )
    model.probe_points = tuple(name for name, part in model.named_modules() if isinstance(part, nn.ReLU))
    return model
