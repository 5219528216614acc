"""What every model of the zoo promises: probe points, shapes, widths, seeds, initial laws, clear errors."""

import copy
import pickle

import pytest
import torch
from torch import nn

from relstab import models
from relstab.models.fc import NTKLinear

WIDTH = 0.08  # about five channels where the papers have 64
SMALL = {name: 0.1 if name.startswith("efficientnet") else WIDTH for name in models.names()}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(batch=2, channels=3, size=32, dtype=torch.float32):
    return torch.randn(batch, channels, size, size, generator=seeded(1), dtype=dtype)


def on_meta(name, **options):
    with torch.device("meta"):
        return models.build(name, **options)


# --- what every model promises --------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 28)])
@pytest.mark.parametrize("name", models.names())
def test_probe_points_fire_once_in_order(name, channels, size):
    model = models.build(name, in_channels=channels, width=SMALL[name], num_classes=7, generator=seeded()).eval()
    modules = dict(model.named_modules())
    fired, kept, copies = [], [], []

    def watch(point):
        def hook(module, inputs, output):
            fired.append(point)
            kept.append(output)
            copies.append(output.clone())

        return hook

    assert len(set(model.probe_points)) == len(model.probe_points) > 0
    for point in model.probe_points:
        modules[point].register_forward_hook(watch(point))
    with torch.no_grad():
        for batch in (3, 1):  # the authors' squeezed outputs lose the batch axis of a single image
            fired.clear()
            kept.clear()
            copies.clear()
            assert model(images(batch, channels, size)).shape == (batch, 7)
            assert tuple(fired) == model.probe_points
            assert all(torch.equal(a, b) for a, b in zip(kept, copies, strict=True)), "overwritten in place"
            if not name.startswith("efficientnet") and name != "conv8_strided":
                assert all(float(output.min()) >= 0 for output in kept), "not after a ReLU"


def test_number_of_probe_points():
    """One a ReLU (a weight layer except the last), or the stem and one a block."""
    expected = {"fc_l2": 1, "fc_l6": 5, "lenet": 4, "alexnet": 7, "vgg11": 8, "vgg11_bn": 8, "vgg16": 13,
                "vgg19_bn": 16, "resnet10": 5, "resnet18": 9, "resnet50": 17, "resnet101": 34,
                "efficientnet_b0": 17, "efficientnet_b2": 24, "cifar_resnet20": 10,
                "cifar_resnet56": 28, "conv8_max": 12}  # fmt: skip
    assert {name: len(on_meta(name).probe_points) for name in expected} == expected


@pytest.mark.parametrize("name", models.names())
def test_every_parameter_is_used_and_nothing_is_in_place(name):
    model = models.build(name, width=SMALL[name], generator=seeded())
    assert not any(getattr(module, "inplace", False) for module in model.modules())
    model(images(4)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["fc_l4", "vgg11_bn", "cifar_resnet20", "efficientnet_b0"])
def test_double_precision_copies_and_pickles(name):
    model = models.build(name, width=SMALL[name], generator=seeded()).eval().to(torch.float64)
    x = images(dtype=torch.float64)
    assert model(x).dtype == torch.float64
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.probe_points == model.probe_points
        assert torch.equal(other(x), model(x))


def test_ensemble_by_vmap():
    """Nets of one shape run as one batched net (seed ensembles)."""
    nets = [models.build("fc_l4", width=WIDTH, generator=seeded(seed)) for seed in range(3)]
    weights, buffers = torch.func.stack_module_state(nets)
    x = images()
    stacked = torch.vmap(lambda w, b: torch.func.functional_call(nets[0], (w, b), (x,)))(weights, buffers)
    torch.testing.assert_close(stacked, torch.stack([net(x) for net in nets]))


def test_width():
    assert [c.out_channels for c in models.build("lenet", width=0.3).modules() if isinstance(c, nn.Conv2d)] == [2, 5]
    assert models.build("resnet18", width=0.5).fc.in_features == 256
    assert models.build("resnet50", width=0.25).fc.in_features == 512
    assert models.build("vgg11", width=1e-6).classifier.in_features == 1
    assert models.build("efficientnet_b0", width=0.5).classifier[1].in_features == 160
    assert models.build("cifar_resnet20", width=0.55).linear.in_features == 35  # odd channel difference in shortcuts


def test_any_image_size_where_the_architecture_averages():
    for name in ("resnet10", "cifar_resnet20", "efficientnet_b0"):
        assert models.build(name, width=SMALL[name]).eval()(images(size=41)).shape == (2, 10)
    for name in ("fc_l2", "lenet", "alexnet", "vgg11"):
        assert models.build(name, width=WIDTH, image_size=65).eval()(images(size=65)).shape == (2, 10)


# --- initialisation -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.names())
def test_seed(name):
    """A generator fixes every parameter; the global state stays as it was with and without one."""
    before = torch.get_rng_state()
    first = models.build(name, width=SMALL[name], generator=seeded()).state_dict()
    again = models.build(name, width=SMALL[name], generator=seeded()).state_dict()
    other = models.build(name, width=SMALL[name], generator=seeded(1)).state_dict()
    fresh = models.build(name, width=SMALL[name]).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[key], again[key]) for key in first)
    weights = [key for key in first if key.endswith("weight") and first[key].ndim > 1]
    assert all(not torch.equal(first[key], other[key]) for key in weights)
    assert all(not torch.equal(first[key], fresh[key]) for key in weights)


def test_without_a_generator_every_net_is_another_one():
    assert not torch.equal(models.build("fc_l2").output.weight, models.build("fc_l2").output.weight)


@pytest.mark.parametrize("name", ["lenet", "vgg11_bn", "resnet50", "efficientnet_b0"])
def test_initial_law_is_torchs_default(name):
    """The same draws as torch makes when it resets each layer from the same seed."""
    model = models.build(name, width=SMALL[name], generator=seeded(3))
    reference = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        for module in reference.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    for key, value in model.state_dict().items():
        assert torch.equal(value, reference.state_dict()[key]), key


def test_initial_law_of_fc_nets():
    """Weights and biases are N(0, 1): moments within five standard errors."""
    model = models.build("fc_l6", generator=seeded())
    for values in (model.linear1.weight, torch.cat([m.bias for m in model if isinstance(m, NTKLinear)][:-1])):
        n = values.numel()
        assert abs(values.mean()) < 5 / n**0.5
        assert abs(values.square().mean() - 1) < 5 * (2 / n) ** 0.5
        assert abs((values**4).mean() - 3) < 5 * (96 / n) ** 0.5


def test_meta_device_allocates_nothing():
    assert all(parameter.device.type == "meta" for parameter in on_meta("vgg19").parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_default_device_gets_the_weights_of_the_cpu():
    reference = models.build("resnet10", width=WIDTH, generator=seeded()).state_dict()
    with torch.device("cuda"):
        model = models.build("resnet10", width=WIDTH, generator=seeded())
    assert all(value.is_cuda and torch.equal(value.cpu(), reference[key]) for key, value in model.state_dict().items())


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg-11", {}, "name: unknown model 'vgg-11'; did you mean vgg11"),
        ("zzz", {}, "did you mean fc_l2, .*cifar_resnet56"),
        ("lenet", {"width": 0}, "width: got 0, must be a positive number"),
        ("lenet", {"width": float("nan")}, "width: got nan"),
        ("lenet", {"in_channels": 0}, "in_channels: got 0, must be an integer of at least 1"),
        ("lenet", {"num_classes": 0}, "num_classes: got 0"),
        ("lenet", {"image_size": -4}, "image_size: got -4"),
        ("lenet", {"image_size": 15}, "image_size: 15 is too small for lenet"),
    ],
)
def test_bad_arguments(name, options, message, unchecked):
    with pytest.raises(ValueError, match=message):
        models.build(name, **options)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("vgg11", (2, 3, 28, 28), r"shape \[2, 3, 28, 28\], this vgg11 was built for \[batch, 3, 32, 32\]"),
        ("fc_l2", (3, 32, 32), r"\[batch, 3, 32, 32\]"),
        ("resnet10", (2, 1, 32, 32), r"\[batch, 3, height, width\]"),
    ],
)
def test_bad_images(name, shape, message, unchecked):
    with pytest.raises(ValueError, match=message):
        models.build(name, width=WIDTH)(torch.zeros(shape))


def test_layer_without_initialisation_rule():
    with pytest.raises(TypeError, match="no initialisation rule for a layer of type Conv1d"):
        models.initialise.initialise(nn.Sequential(nn.Conv1d(1, 1, 3)), seeded())
