r"""The five networks of paper C: eight convolutions, and five ways to halve the picture (C Sec. 2.2).

Four blocks of two layers conv 3x3 - BatchNorm - ReLU with 32, 64, 128 and 256 channels, each block followed by
a downsampling by 2, then the average over what is left and one linear layer::

    subsample     the top left pixel of each 2 x 2 block
    max, average  of each 2 x 2 block
    strided       a 2 x 2 convolution with stride 2
    strided_relu  the same, then BatchNorm and ReLU

The weights start from a normal law with standard deviation 1/sqrt(n_in) (n_in the inputs of a unit), cut at two
standard deviations; C does not say where it cuts: two is the usual. Convolutions have no bias. The probe points
are C's layers 1 to 12, eight convolutions (after their ReLU) and four downsamplings; the input is layer 0.

>>> from relstab import models
>>> model = models.build("conv8_average", width=0.25)
>>> model.probe_points[:4]
('block1.conv1', 'block1.conv2', 'block1.down', 'block2.conv1')
"""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from relstab.models.common import scaled

CHANNELS = (32, 64, 128, 256)
DOWNSAMPLINGS = ("subsample", "max", "average", "strided", "strided_relu")


class TruncatedConv2d(nn.Conv2d):
    """A convolution that starts from the truncated normal law of paper C, its footnote 2."""


class TruncatedLinear(nn.Linear):
    """A linear layer that starts from the truncated normal law, with bias zero."""


class Subsample(nn.Module):
    """The top left pixel of each 2 x 2 block; an odd last row or column is left out, as the poolings do."""

    def forward(
        self, images: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel half_height half_width"]:
        height, width = images.shape[2] // 2 * 2, images.shape[3] // 2 * 2
        return images[:, :, :height:2, :width:2]


def conv8(downsampling: str, *, in_channels: int, num_classes: int, width: float | int, image_size: int) -> nn.Module:
    """The network with one of `DOWNSAMPLINGS`. Probed after each ReLU of a convolution and each downsampling."""
    channels = [scaled(channel, width) for channel in CHANNELS]
    blocks = OrderedDict()
    for number, (before, now) in enumerate(zip([in_channels, *channels], channels, strict=False), start=1):
        blocks[f"block{number}"] = nn.Sequential(
            OrderedDict(
                conv1=_normalised(TruncatedConv2d(before, now, 3, padding=1, bias=False)),
                conv2=_normalised(TruncatedConv2d(now, now, 3, padding=1, bias=False)),
                down=_down(downsampling, now),
            )
        )
    head = OrderedDict(
        avgpool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), classifier=TruncatedLinear(channels[-1], num_classes)
    )
    model = nn.Sequential(blocks | head)
    model.probe_points = tuple(f"{block}.{part}" for block in blocks for part in ("conv1", "conv2", "down"))
    return model


def _normalised(convolution: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU())


def _down(name: str, channels: int) -> nn.Module:
    if name == "subsample":
        return Subsample()
    if name == "max":
        return nn.MaxPool2d(2)
    if name == "average":
        return nn.AvgPool2d(2)
    halving = TruncatedConv2d(channels, channels, 2, stride=2, bias=False)
    return halving if name == "strided" else _normalised(halving)
