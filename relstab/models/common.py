"""What the families share: the width rule and the zero padding of small images.

>>> scaled(64, 0.3), pad_to(32, 28).padding
(19, (2, 2, 2, 2))
"""

from torch import nn


def scaled(channels: int, width: float | int) -> int:
    """Hidden channels at a width factor: width * channels, rounded to the nearest integer, at least 1."""
    return max(1, round(width * channels))


def pad_to(size: int, image_size: int) -> nn.ZeroPad2d | None:
    """Centred zero padding (pixels) of an image_size-wide image up to `size`; None where the image is as
    large.

    The authors pad the 28-pixel images by 2 on each side, inside the VGG and AlexNet models only.
    """
    missing = size - image_size
    if missing <= 0:
        return None
    before, after = missing // 2, missing - missing // 2
    return nn.ZeroPad2d((before, after, before, after))
