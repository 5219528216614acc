"""AlexNet for small images, as in papers A and B: the five convolutions of the ImageNet net with 3x3
filters, the first of stride 2, three 2x2 max-poolings, and the two layers of 4096 units with dropout.

Images below 32 pixels are zero-padded to 32 (28-pixel ones by 2 on each side), as in the authors' code.

>>> from relstab import models
>>> models.build("alexnet", width=0.1).probe_points[-1]
'classifier.relu7'
"""

from collections import OrderedDict

from torch import nn

from relstab.models.common import pad_to, scaled

_CHANNELS = (64, 192, 384, 256, 256)
_POOL_AFTER = (1, 2, 5)  # 2x2 max-pooling follows these convolutions
_UNITS = 4096


def _features(in_channels: int, width: float | int) -> OrderedDict[str, nn.Module]:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = in_channels
    for layer, channels in enumerate((scaled(channels, width) for channels in _CHANNELS), start=1):
        parts[f"conv{layer}"] = nn.Conv2d(inputs, channels, 3, stride=2 if layer == 1 else 1, padding=1)
        parts[f"relu{layer}"] = nn.ReLU()
        if layer in _POOL_AFTER:
            parts[f"pool{layer}"] = nn.MaxPool2d(2)
        inputs = channels
    return parts


def alexnet(*, in_channels: int, num_classes: int, width: float | int, image_size: int) -> nn.Module:
    """AlexNet: 64-192-384-256-256 channels, two layers of 4096 units. Probed after each of the 7 ReLUs."""
    parts = _features(in_channels, width)
    if pad := pad_to(32, image_size):
        parts["pad"] = pad
        parts.move_to_end("pad", last=False)
    side = (max(32, image_size) + 1) // 2 // 2 // 2 // 2  # the stride rounds up, each pooling down
    units = scaled(_UNITS, width)
    classifier = OrderedDict(
        dropout6=nn.Dropout(),
        linear6=nn.Linear(scaled(_CHANNELS[-1], width) * side**2, units),
        relu6=nn.ReLU(),
        dropout7=nn.Dropout(),
        linear7=nn.Linear(units, units),
        relu7=nn.ReLU(),
        output=nn.Linear(units, num_classes),
    )
    model = nn.Sequential(
        OrderedDict(features=nn.Sequential(parts), flatten=nn.Flatten(), classifier=nn.Sequential(classifier))
    )
    model.probe_points = tuple(name for name, part in model.named_modules() if isinstance(part, nn.ReLU))
    return model
