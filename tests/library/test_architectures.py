"""The architectures: golden parameter and operation counts, torchvision and hand-written references, and the
published test errors of networks trained by others."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from relstab import models
from relstab.vision import models as zoo

WIDTH = 0.08  # about five channels where the papers have 64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(batch=2, channels=3, size=32, dtype=torch.float32):
    return torch.randn(batch, channels, size, size, generator=seeded(1), dtype=dtype)


def parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


def on_meta(name, **options):
    with torch.device("meta"):
        return models.build(name, **options)


# --- golden counts --------------------------------------------------------------------------------

VGG_STAGES = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg_count(layers, batch_norm, inputs):
    total = 0
    for channels, count in zip((64, 128, 256, 512, 512), VGG_STAGES[layers], strict=True):
        for _ in range(count):
            total += 9 * inputs * channels + channels * (3 if batch_norm else 1)
            inputs = channels
    return total + 512 * 10 + 10


def resnet_count(counts, bottleneck, inputs):
    total = 9 * inputs * 64 + 2 * 64
    inputs = 64
    for channels, count in zip((64, 128, 256, 512), counts, strict=True):
        outputs = 4 * channels if bottleneck else channels
        for _ in range(count):
            if bottleneck:
                total += inputs * channels + 9 * channels**2 + channels * outputs + 4 * channels + 2 * outputs
            else:
                total += 9 * inputs * channels + 9 * channels**2 + 4 * channels
            total += inputs * outputs + 2 * outputs if inputs != outputs else 0
            inputs = outputs
    return total + inputs * 10 + 10


def cifar_resnet_count(layers):
    n = (layers - 2) // 6
    stages = sum((2 * n - 1) * 9 * c**2 + 9 * c * p + 4 * n * c for c, p in ((16, 16), (32, 16), (64, 32)))
    return 9 * 3 * 16 + 2 * 16 + stages + 64 * 10 + 10


EXACT = {
    **{f"fc_l{n}": 3072 * 64 + 64 + (n - 2) * (64 * 64 + 64) + 64 * 10 for n in (2, 4, 6)},
    "lenet": (75 * 6 + 6) + (150 * 16 + 16) + (400 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10),
    **{f"vgg{n}": vgg_count(n, False, 3) for n in VGG_STAGES},
    **{f"vgg{n}_bn": vgg_count(n, True, 3) for n in VGG_STAGES},
    "resnet10": resnet_count((1, 1, 1, 1), False, 3),
    "resnet18": resnet_count((2, 2, 2, 2), False, 3),
    "resnet34": resnet_count((3, 4, 6, 3), False, 3),
    "resnet50": resnet_count((3, 4, 6, 3), True, 3),
    "resnet101": resnet_count((3, 4, 23, 3), True, 3),
    "efficientnet_b0": 3_598_598,  # the authors' used parameters
    **{f"cifar_resnet{n}": cifar_resnet_count(n) for n in (20, 32, 44, 56)},
}

# Parameters and multiply-adds of one 3x32x32 image in millions, counted on the authors' classes
# (He et al. for the last four parameter counts).
AUTHORS = {
    "fc_l2": (0.197, 0.2), "fc_l4": (0.206, 0.2), "fc_l6": (0.214, 0.2), "lenet": (0.062, 0.7),
    "alexnet": (23.3, 63), "vgg11": (9.23, 153), "vgg13": (9.41, 228), "vgg16": (14.7, 313),
    "vgg19": (20.0, 398), "resnet18": (11.2, 555), "resnet34": (21.3, 1159), "resnet50": (23.5, 1298),
    "resnet101": (42.5, 2510), "efficientnet_b0": (3.60, 30),
    "cifar_resnet20": (0.27, None), "cifar_resnet32": (0.46, None),
    "cifar_resnet44": (0.66, None), "cifar_resnet56": (0.85, None),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
def test_parameter_count_by_hand(name):
    assert parameters(on_meta(name)) == EXACT[name]


def test_parameter_counts_of_one_channel():
    """VGG and AlexNet pad 28 pixels to 32, so only the first filters shrink; LeNet's head sees 4x4 pixels."""
    assert parameters(on_meta("lenet", in_channels=1)) == 156 + 2416 + (256 * 120 + 120) + 10164 + 850
    assert parameters(on_meta("fc_l2", in_channels=1)) == 784 * 64 + 64 + 640
    for name, first in (("vgg11", 64), ("alexnet", 64), ("resnet18", 64), ("efficientnet_b0", 32)):
        assert parameters(on_meta(name)) - parameters(on_meta(name, in_channels=1)) == 2 * 9 * first


@pytest.mark.parametrize("name", AUTHORS)
def test_counts_of_the_authors(name):
    millions, mmac = AUTHORS[name]
    digits = 3 if millions < 0.25 else 2 if millions < 10 else 1
    model = on_meta(name)
    assert round(parameters(model) / 1e6, digits) == millions
    if mmac is not None:
        with FlopCounterMode(display=False) as counter:
            model.eval()(torch.empty(1, 3, 32, 32, device="meta"))
        measured = counter.get_total_flops() / 2e6
        assert measured == pytest.approx(mmac, rel=0.02 if mmac > 1 else 0.1)


# --- references -----------------------------------------------------------------------------------


def torchvision_reference(name):
    """torchvision's ImageNet model edited to the authors' CIFAR variant, without weights."""
    with torch.device("meta"):
        if name.startswith("vgg"):
            model = getattr(zoo, name)()
            model.avgpool = nn.Identity()
            model.classifier = nn.Linear(512, 10)
        elif name.startswith("resnet"):
            model = getattr(zoo, name)(num_classes=10)
            model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            model.maxpool = nn.Identity()
        else:
            model = getattr(zoo, name)(num_classes=10, stochastic_depth_prob=0)
            model.features[0][0].stride = (1, 1)
            del model.features[-1]
            model.classifier[1] = nn.Linear(model.features[-1][-1].out_channels, 10)
    return model.to_empty(device="cpu")


@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn", "resnet18", "resnet50", "efficientnet_b0", "efficientnet_b2"])
def test_equals_edited_torchvision(name):
    """Same keys, same outputs to the last bit."""
    model = models.build(name, generator=seeded()).eval()
    reference = torchvision_reference(name).eval()
    reference.load_state_dict(model.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(model(images()), reference(images()))


@pytest.mark.parametrize(("inputs", "size"), [(3, 32), (1, 28)])
def test_lenet_by_hand(inputs, size, dtype):
    model = models.build("lenet", in_channels=inputs, generator=seeded()).to(dtype)
    w = list(model.parameters())
    x = images(channels=inputs, size=size, dtype=dtype)
    y = functional.max_pool2d(functional.conv2d(x, w[0], w[1]).relu(), 2)
    y = functional.max_pool2d(functional.conv2d(y, w[2], w[3]).relu(), 2).flatten(1)
    y = (y @ w[4].T + w[5]).relu()
    y = (y @ w[6].T + w[7]).relu() @ w[8].T + w[9]
    torch.testing.assert_close(model(x), y)


@pytest.mark.parametrize(("inputs", "size", "pad"), [(3, 32, 0), (1, 28, 2)])
def test_alexnet_by_hand(inputs, size, pad, dtype):
    model = models.build("alexnet", in_channels=inputs, width=0.1, generator=seeded()).to(dtype).eval()
    w = list(model.parameters())
    x = images(channels=inputs, size=size, dtype=dtype)
    y = functional.pad(x, (pad,) * 4)
    for layer, (stride, pool) in enumerate(((2, 2), (1, 2), (1, 1), (1, 1), (1, 2))):
        y = functional.conv2d(y, w[2 * layer], w[2 * layer + 1], stride=stride, padding=1).relu()
        y = functional.max_pool2d(y, pool)
    y = y.flatten(1)
    y = (y @ w[10].T + w[11]).relu()
    y = (y @ w[12].T + w[13]).relu() @ w[14].T + w[15]
    torch.testing.assert_close(model(x), y)


@pytest.mark.parametrize("layers", [2, 4, 6])
def test_fc_by_hand(layers, dtype):
    """The parametrisation: 1/sqrt(d) in hidden layers, 1/d and no bias at the output."""
    model = models.build(f"fc_l{layers}", generator=seeded()).to(dtype)
    w = list(model.parameters())
    assert len(w) == 2 * layers - 1
    y = images(dtype=dtype).flatten(1)
    for hidden in range(layers - 1):
        y = (y @ w[2 * hidden].T / y.shape[1] ** 0.5 + w[2 * hidden + 1]).relu()
    torch.testing.assert_close(model(images(dtype=dtype)), y @ w[-1].T / 64)


def test_efficientnet_has_no_stochastic_depth():
    """Only the dropout before the head is random in training, as in the authors' runs."""
    model = models.build("efficientnet_b0", width=0.1, generator=seeded()).train()
    model.classifier[0].p = 0.0
    x = images(8)
    assert torch.equal(model(x), model(x))


def test_cifar_resnet_shortcut():
    """Every second pixel; with 2 -> 5 channels one zero channel before and two after."""
    x = images(channels=2, size=5)
    y = models.cifar_resnet.PaddedShortcut(3)(x)
    assert y.shape == (2, 5, 3, 3)
    assert torch.equal(y[:, 1:3], x[:, :, ::2, ::2])
    assert not y[:, [0, 3, 4]].any()


def test_zero_padding_of_small_images():
    """A VGG built for 28 pixels sees the image it would see if the caller had padded it to 32."""
    small = models.build("vgg11_bn", in_channels=1, width=WIDTH, generator=seeded()).eval()
    large = models.build("vgg11_bn", in_channels=1, width=WIDTH, image_size=32, generator=seeded()).eval()
    large.load_state_dict(small.state_dict(), strict=True)
    x = images(channels=1, size=28)
    assert torch.equal(small(x), large(functional.pad(x, (2, 2, 2, 2))))


# --- networks trained by others -------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(("layers", "published"), [(20, 0.0827), (32, 0.0737), (44, 0.0690), (56, 0.0661)])
def test_published_test_error(layers, published):
    """State dicts of somebody else load strictly and make their published test error on 1,017 of the 10,000
    images.

    Three binomial standard deviations of that sample: with 8.27 %, 2.6 points.
    """
    root = Path(os.environ.get("RELSTAB_DATA", "nowhere"))
    weights = root / "pretrained" / f"cifar10_resnet{layers}.pt"
    if not weights.is_file():
        pytest.skip("RELSTAB_DATA has no pretrained networks")
    model = models.build(f"cifar_resnet{layers}").eval()
    model.load_state_dict(torch.load(weights, weights_only=True), strict=True)
    with np.load(root / "cifar10-lossless-6k.npz") as archive:
        x, y = torch.from_numpy(archive["x_test"]), torch.from_numpy(archive["y_test"])
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    x = (((x / 255) - mean) / std).permute(0, 3, 1, 2).contiguous()
    with torch.no_grad():
        answers = torch.cat([model(batch).argmax(1) for batch in x.split(128)])
    error = (answers != y).double().mean().item()
    assert abs(error - published) < 3 * (published * (1 - published) / len(y)) ** 0.5
