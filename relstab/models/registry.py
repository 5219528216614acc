"""`build(name)`: one entry for every network of papers A, B and C, and the CIFAR ResNets.

Each model has `probe_points`: the names (as in `named_modules()`) of the modules whose outputs make the
layers of a depth profile, in order: after each ReLU in FC nets, LeNet, AlexNet and VGG; after the stem and
after each block in ResNets (the sum has passed its ReLU) and EfficientNets;
after each ReLU and each downsampling in the nets of paper C. With the input as k = 0 and the
logits as k = K, the relative depth of the k-th point is k/K, K = len(probe_points) + 1. The authors'
figures do not say which nodes they plot; this choice is ours, the same for all families.

No activation works in place. The sums inside torchvision's residual blocks do, so the last normalisation of a
block is overwritten after its hook has run: reduce or copy it inside the hook. No probe point is concerned.

>>> import torch
>>> from relstab import models
>>> model = models.build("lenet", in_channels=1, generator=torch.Generator().manual_seed(0))
>>> model(torch.zeros(1, 1, 28, 28)).shape
torch.Size([1, 10])
"""

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from relstab.models.alexnet import alexnet
from relstab.models.cifar_resnet import cifar_resnet
from relstab.models.conv8 import DOWNSAMPLINGS, conv8
from relstab.models.efficientnet import efficientnet
from relstab.models.fc import fc
from relstab.models.initialise import initialise
from relstab.models.lenet import lenet
from relstab.models.resnet import resnet
from relstab.models.vgg import vgg


@dataclass(frozen=True)
class Family:
    """What there is to know of a family of networks, in one place.

    Args:
        build: name -> function that builds a member.
        batch_norm: whether it has batch normalisation, which decides the largest stable step size.
        dropout: whether it draws random numbers while it is trained.
        one_size: built for one image size (the others average over whatever pixels are left and take any).
    """

    build: Mapping[str, Callable[..., nn.Module]]
    batch_norm: bool
    dropout: bool = False
    one_size: bool = False


FAMILIES = {
    "fc": Family({f"fc_l{n}": partial(fc, n) for n in (2, 4, 6)}, batch_norm=False, one_size=True),
    "lenet": Family({"lenet": lenet}, batch_norm=False, one_size=True),
    "alexnet": Family({"alexnet": alexnet}, batch_norm=False, dropout=True, one_size=True),
    "vgg": Family({f"vgg{n}": partial(vgg, n, False) for n in (11, 13, 16, 19)}, batch_norm=False, one_size=True),
    "vgg_bn": Family({f"vgg{n}_bn": partial(vgg, n, True) for n in (11, 13, 16, 19)}, batch_norm=True, one_size=True),
    "resnet": Family({f"resnet{n}": partial(resnet, n) for n in (10, 18, 34, 50, 101)}, batch_norm=True),
    "efficientnet": Family(
        {f"efficientnet_{v}": partial(efficientnet, v) for v in ("b0", "b2")}, batch_norm=True, dropout=True
    ),
    "cifar_resnet": Family({f"cifar_resnet{n}": partial(cifar_resnet, n) for n in (20, 32, 44, 56)}, batch_norm=True),
    "conv8": Family({f"conv8_{name}": partial(conv8, name) for name in DOWNSAMPLINGS}, batch_norm=True),
}
_FAMILY_OF = {name: family for family, record in FAMILIES.items() for name in record.build}


def family(name: str) -> str:
    """The family of a network: a key of `FAMILIES`. ValueError for a name that `build` does not know.

    >>> family("vgg11_bn"), FAMILIES[family("vgg11_bn")].batch_norm
    ('vgg_bn', True)
    """
    if name not in _FAMILY_OF:
        close = difflib.get_close_matches(name.lower().replace("-", "_"), _FAMILY_OF, n=3) or names()
        raise ValueError(f"name: unknown model {name!r}; did you mean {', '.join(close)}? (`names()` lists all.)")
    return _FAMILY_OF[name]


def has_dropout(name: str) -> bool:
    """Whether the network draws random numbers while it is trained.

    >>> has_dropout("alexnet"), has_dropout("vgg11_bn")
    (True, False)
    """
    return FAMILIES[family(name)].dropout


def names() -> list[str]:
    """Names that `build` knows.

    >>> [name for name in names() if name.startswith("fc")]
    ['fc_l2', 'fc_l4', 'fc_l6']
    """
    return list(_FAMILY_OF)


def build(
    name: str,
    *,
    in_channels: int = 3,
    num_classes: int = 10,
    width: float | int = 1.0,
    image_size: int | None = None,
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Build a freshly initialised network; images [batch, in_channels, image_size, image_size] -> [batch,
    num_classes].

    Args:
        width: factor on every hidden channel or unit number, rounded to the nearest integer (EfficientNet: to a
            multiple of 8).
        image_size: pixels, default 28 for one channel and 32 otherwise.
        generator: a CPU generator for the initial weights (they are drawn on the CPU, the same for every device,
            then moved to torch's default device); None draws fresh ones.

    Torch's global random state is never touched. Under `torch.device("meta")` nothing is allocated.

    Raises:
        ValueError: for an unknown name, a size, channel or class number below 1, a width that is not positive,
            and (from the model) for images of another shape than it was built for.

    >>> build("vgg11", width=0.5).probe_points[0]
    'features.1'
    """
    record = FAMILIES[family(name)]
    _check(in_channels, num_classes, width, image_size)
    size = image_size or (28 if in_channels == 1 else 32)
    with torch.device("meta"):  # torchvision's modules would draw from the global generator
        model = record.build[name](in_channels=in_channels, num_classes=num_classes, width=width, image_size=size)
    for module in model.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # an in-place ReLU overwrites the tensor a probe holds
    expected = (in_channels, size if record.one_size else None)
    model.register_forward_pre_hook(partial(_check_images, name, *expected))
    # The device of a default or of a context, which `torch.get_default_device` of torch 2.6 does not see.
    device = torch.empty(0).device
    if device.type == "meta":
        return model
    if generator is None:
        generator = torch.Generator()
        generator.seed()
    return initialise(model.to_empty(device="cpu"), generator).to(device)


def _check(in_channels: int, num_classes: int, width: float | int, image_size: int | None) -> None:
    for argument, value in (("in_channels", in_channels), ("num_classes", num_classes), ("image_size", image_size)):
        if value is not None and value < 1:
            raise ValueError(f"{argument}: got {value}, must be an integer of at least 1.")
    if not 0 < width < math.inf:
        raise ValueError(f"width: got {width}, must be a positive number.")


def _check_images(name: str, channels: int, size: int | None, model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    shape = tuple(inputs[0].shape)
    if len(shape) != 4 or shape[1] != channels or (size is not None and shape[2:] != (size, size)):
        pixels = "height, width" if size is None else f"{size}, {size}"
        raise ValueError(f"images: got shape {list(shape)}, this {name} was built for [batch, {channels}, {pixels}].")
