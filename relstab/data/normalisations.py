"""Means and standard deviations by channel that networks expect of pixels in [0, 1].

In a module of its own, with nothing imported, because the command line lists the names before torch is loaded.
"""

NORMALISATIONS = {
    "none": ((0.0,), (1.0,)),
    "half": ((0.5,), (0.5,)),
    "unit": ((127 / 255,), (128 / 255,)),  # (v - 127) / 128 of a byte v, as in the EfficientNet-Lite family
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
