"""EfficientNet-B0 and -B2 for small images, as in papers A and B: torchvision's net with a stem of stride
1, without the last 1x1 convolution, and without stochastic depth (the authors' drop-connect was never
active).

Stage strides 1, 2, 2, 2, 1, 2, 1 bring 32 pixels to 2; global average, dropout, one linear layer. Channels
are rounded to multiples of 8 as EfficientNets do, so `width` scales in steps. B2 widens B0 by 1.1 and
repeats each stage 1.2 times (rounded up).

>>> from relstab import models
>>> models.build("efficientnet_b0", width=0.25).probe_points[:3]
('features.0', 'features.1.0', 'features.2.0')
"""

from torch import nn

from relstab.vision import models

# expansion, filter size, stride, channels in, channels out, repeats: the stages of B0
_STAGES = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)
_VARIANTS = {"b0": (1.0, 1.0, 0.2), "b2": (1.1, 1.2, 0.3)}  # widening, repetition, dropout


def efficientnet(variant: str, *, in_channels: int, num_classes: int, width: float | int, image_size: int) -> nn.Module:
    """EfficientNet `variant` ("b0" or "b2"); any image size.

    Probed after the SiLU of the stem and at the output of each inverted-residual block (after the sum, if
    any).
    """
    widening, repetition, dropout = _VARIANTS[variant]
    stages = [models.efficientnet.MBConvConfig(*stage, width * widening, repetition) for stage in _STAGES]
    model = models.EfficientNet(stages, dropout=dropout, stochastic_depth_prob=0.0, num_classes=num_classes)
    model.features[0][0] = nn.Conv2d(in_channels, stages[0].input_channels, 3, padding=1, bias=False)
    del model.features[-1]
    model.classifier[1] = nn.Linear(stages[-1].out_channels, num_classes)
    block = models.efficientnet.MBConv
    model.probe_points = ("features.0", *(name for name, part in model.named_modules() if isinstance(part, block)))
    return model
