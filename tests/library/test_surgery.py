"""Shuffled channels, mean channels, smoothed filters: what is kept, what is destroyed, what is left alone."""

import copy

import pytest
import torch
from torch import nn

from relstab import models
from relstab.models import surgery

NETS = ("fc_l2", "lenet", "alexnet", "vgg11_bn", "resnet10", "efficientnet_b0", "cifar_resnet20")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def net(name, dtype=torch.float32):
    """A small net whose BatchNorm is not the identity."""
    width = 0.5 if name == "lenet" else 0.1
    model = models.build(name, width=width, generator=seeded()).to(dtype).eval()
    generator = seeded(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                values.data.copy_(torch.rand(values.shape, generator=generator) + 0.5)
    return model


def images(channels=3, size=32, dtype=torch.float32):
    return torch.randn(2, channels, size, size, generator=seeded(1), dtype=dtype)


def convolutions(model):
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def state(model):
    return {key: value.clone() for key, value in model.state_dict().items()}


SURGERIES = {
    "shared": lambda model: surgery.shuffle_channels(model, generator=seeded()),
    "independent": lambda model: surgery.shuffle_channels(model, mode="independent", generator=seeded()),
    "mean": surgery.mean_channel,
    "smooth": lambda model: surgery.smooth_filters(model, 0.7),
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("kind", SURGERIES)
def test_original_untouched_and_copy_works(kind, name, dtype):
    """The copy runs, keeps dtype, shapes and probe points; linear layers are never changed."""
    model = net(name, dtype)
    before = state(model)
    changed = SURGERIES[kind](model)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert changed.probe_points == model.probe_points
    assert changed(images(dtype=dtype)).shape == (2, 10)
    assert {key: (v.shape, v.dtype) for key, v in changed.state_dict().items()} == {
        key: (v.shape, v.dtype) for key, v in before.items()
    }
    linear = [key for key, value in before.items() if key.endswith("weight") and value.ndim == 2]
    assert linear
    assert all(torch.equal(changed.state_dict()[key], before[key]) for key in linear)
    assert all(parameter.requires_grad for parameter in changed.parameters())


# --- shuffling ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", surgery.MODES)
@pytest.mark.parametrize("name", ["lenet", "vgg11_bn", "resnet10", "efficientnet_b0"])
def test_shuffle_keeps_the_filters_of_each_output_channel(name, mode):
    """As a multiset: only which input they read changes. Nothing but 4-D weights changes."""
    model = net(name)
    shuffled = surgery.shuffle_channels(model, mode=mode, generator=seeded())
    moved = 0
    for old, new in zip(convolutions(model), convolutions(shuffled), strict=True):
        moved += not torch.equal(old.weight, new.weight)
        for before, after in zip(old.weight.detach().flatten(2), new.weight.detach().flatten(2), strict=True):
            # sorted by their first entry, which no two random filters share
            assert torch.equal(before[before[:, 0].argsort()], after[after[:, 0].argsort()])
        if old.weight.shape[1] == 1:
            assert torch.equal(old.weight, new.weight)  # depthwise
    assert moved > 1
    others = {key: value for key, value in model.state_dict().items() if value.ndim != 4}
    assert all(torch.equal(shuffled.state_dict()[key], value) for key, value in others.items())


def permutation(old, new):
    """[out, in]: the input channel whose filter stands at each place of the shuffled weight."""
    return (old[:, None] == new[:, :, None]).flatten(3).all(3).int().argmax(2)


def test_modes():
    """Shared: one permutation for all output channels, another in each weight. Independent: they differ."""
    model = models.build("vgg11", width=0.3, generator=seeded())
    orders = {}
    for mode in surgery.MODES:
        shuffled = surgery.shuffle_channels(model, mode=mode, generator=seeded())
        pairs = zip(convolutions(model), convolutions(shuffled), strict=True)
        orders[mode] = [permutation(old.weight, new.weight) for old, new in pairs]
    for order in orders["shared"]:
        assert (order == order[0]).all()
    assert not torch.equal(orders["shared"][-1][0], orders["shared"][-2][0])
    for order in orders["independent"]:
        assert len(order.unique(dim=0)) > 1
        assert (order.sort(1).values == torch.arange(order.shape[1])).all()


def test_every_permutation_is_drawn_alike():
    """The six orders of the colours in 3000 rows: chi squared (5 degrees) below its 99.9 % point."""
    layer = nn.Conv2d(3, 3000, 1)
    shuffled = surgery.shuffle_channels(nn.Sequential(layer), mode="independent", generator=seeded())
    _, counts = permutation(layer.weight, shuffled[0].weight).unique(dim=0, return_counts=True)
    assert len(counts) == 6
    assert ((counts - 500.0) ** 2 / 500).sum() < 20.5


def test_shuffle_is_seeded():
    model = net("resnet10")
    state_before = torch.get_rng_state()
    shuffled = [surgery.shuffle_channels(model, generator=seeded(seed)) for seed in (1, 1, 2)]
    first, again, other = (result.layer4[0].conv2.weight for result in shuffled)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    fresh = surgery.shuffle_channels(model).layer4[0].conv2.weight  # 51 channels: never the identity
    assert not torch.equal(fresh, model.layer4[0].conv2.weight)
    assert torch.equal(torch.get_rng_state(), state_before)


@pytest.mark.parametrize("mode", surgery.MODES)
def test_shuffle_does_nothing_to_one_channel(mode):
    layer = nn.Conv2d(1, 4, 3)
    assert torch.equal(surgery.shuffle_channels(layer, mode=mode).weight, layer.weight)


@pytest.mark.parametrize("mode", surgery.MODES)
@pytest.mark.parametrize("name", ["vgg11_bn", "resnet10"])
def test_network_of_equal_channels_is_invariant_to_shuffling(name, mode, dtype):
    """If all channels of a layer are the same, there is no channel pooling to destroy."""
    model = surgery.mean_channel(net(name, dtype))
    shuffled = surgery.shuffle_channels(model, mode=mode, generator=seeded())
    assert torch.equal(shuffled(images(dtype=dtype)), model(images(dtype=dtype)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", SURGERIES)
def test_surgery_on_the_gpu_is_surgery_on_the_cpu(kind):
    model = net("resnet10")
    expected = SURGERIES[kind](model).state_dict()
    with torch.device("cuda"):
        changed = SURGERIES[kind](copy.deepcopy(model).cuda())
    for key, value in changed.state_dict().items():
        assert value.is_cuda
        torch.testing.assert_close(value.cpu(), expected[key])


# --- mean channel ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet", "alexnet", "vgg11_bn", "resnet10", "efficientnet_b0"])
def test_mean_channel_values(name):
    """Means over the channels, of parameters and running statistics alike; also with grouped convolutions."""
    model = net(name)
    mean = surgery.mean_channel(model)
    for (key, old), new in zip(model.named_modules(), mean.modules(), strict=True):
        if isinstance(old, nn.Conv2d):
            filters = old.weight.detach().double().flatten(0, 1).mean(0)
            torch.testing.assert_close(
                new.weight.double(), filters.expand_as(new.weight), rtol=1e-4, atol=1e-6, msg=key
            )
        if isinstance(old, nn.Conv2d) and old.bias is not None:
            torch.testing.assert_close(new.bias, old.bias.mean().expand_as(old.bias))
        if isinstance(old, nn.BatchNorm2d):
            for field in ("weight", "bias", "running_mean", "running_var"):
                value = getattr(old, field)
                torch.testing.assert_close(getattr(new, field), value.mean().expand_as(value))


def test_mean_channel_is_a_one_channel_network(dtype):
    """Three convolutions: every channel equals that of a net of width one with filters n_in <W>."""
    wide = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3))
    generator = seeded()
    for parameter in wide.parameters():
        nn.init.uniform_(parameter, -0.3, 1, generator=generator)  # a positive mean, so that ReLUs stay open
    wide = wide.to(dtype)
    thin = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.Conv2d(1, 1, 3), nn.ReLU(), nn.Conv2d(1, 1, 3)).to(dtype)
    for old, new in zip(convolutions(wide), convolutions(thin), strict=True):
        new.weight.data.copy_(old.weight.sum(1, keepdim=True).mean(0, keepdim=True))
        new.bias.data.copy_(old.bias.mean())
    x = images(size=9, dtype=dtype).abs()
    out = surgery.mean_channel(wide)(x)
    assert out.abs().min() > 0
    torch.testing.assert_close(out, thin(x.mean(1, keepdim=True)).expand_as(out))


def test_mean_channel_twice_is_once():
    once = surgery.mean_channel(net("resnet10"))
    for key, value in surgery.mean_channel(once).state_dict().items():
        torch.testing.assert_close(value, once.state_dict()[key])


def test_mean_channel_without_batchnorm_statistics():
    layer = nn.BatchNorm2d(3, affine=False, track_running_stats=False)
    assert surgery.mean_channel(layer).running_mean is None


# --- smoothing ------------------------------------------------------------------------------------


def slow_smoothing(weight, sigma):
    """Convolution by its definition, then the norm of each output channel restored."""
    out = torch.zeros_like(weight)
    height, width = weight.shape[2:]
    for y in range(height):
        for x in range(width):
            for v in range(height):
                for u in range(width):
                    kernel = torch.tensor(-((y - v) ** 2 + (x - u) ** 2) / (2 * sigma**2)).exp()
                    out[:, :, y, x] += kernel * weight[:, :, v, u]
    norms = [w.flatten(1).norm(dim=1)[:, None, None, None] for w in (weight, out)]
    return out * norms[0] / norms[1]


@pytest.mark.parametrize("sigma", [0.3, 1, 2.5])
def test_smoothing_by_definition(sigma, dtype):
    layer = nn.Conv2d(3, 4, (3, 5)).to(dtype)
    smooth = surgery.smooth_filters(layer, sigma)
    torch.testing.assert_close(smooth.weight, slow_smoothing(layer.weight.detach(), sigma), check_dtype=False)
    assert torch.equal(smooth.bias, layer.bias)


def total_variation(weight):
    return (weight.diff(dim=2).abs().sum() + weight.diff(dim=3).abs().sum()) / weight.abs().sum()


def test_smoothing_limits():
    """Nothing at sigma = 0 and for 1x1 filters; homogeneous filters at large sigma; monotone between."""
    model = net("resnet10")
    assert all(
        torch.equal(a, b)
        for a, b in zip(surgery.smooth_filters(model, 0).parameters(), model.parameters(), strict=True)
    )
    torch.testing.assert_close(state(surgery.smooth_filters(model, 1e-200)), state(model))
    smooth = [surgery.smooth_filters(model, sigma) for sigma in (0, 0.5, 1, 2, 1e4)]
    variation = [float(total_variation(s.layer2[0].conv2.weight.detach())) for s in smooth]
    assert variation == sorted(variation, reverse=True)
    assert variation[-1] < 1e-3 < 1 < variation[0]
    assert torch.equal(smooth[2].layer2[0].downsample[0].weight, model.layer2[0].downsample[0].weight)
    for old, new in zip(convolutions(model), convolutions(smooth[2]), strict=True):
        torch.testing.assert_close(new.weight.flatten(1).norm(dim=1), old.weight.flatten(1).norm(dim=1))


def test_smoothing_of_a_zero_filter():
    layer = nn.Conv2d(2, 2, 3)
    layer.weight.data[0] = 0
    smooth = surgery.smooth_filters(layer, 1.0)
    assert torch.equal(smooth.weight[0], layer.weight[0])
    assert smooth.weight.isfinite().all()


# --- bad input ------------------------------------------------------------------------------------


def test_bad_arguments(unchecked):
    model = net("lenet")
    with pytest.raises(ValueError, match="mode: got 'both', must be one of shared, independent"):
        surgery.shuffle_channels(model, mode="both")
    for sigma in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"sigma: got .*, must be a finite number of at least 0"):
            surgery.smooth_filters(model, sigma)
