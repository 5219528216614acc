"""Any network: measured right, or refused in one sentence. Wrappers, programs, layers that are no rows of images."""

import copy
import inspect
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from relstab import models
from relstab.probes import layers as reading
from relstab.probes.sensitivity import compare, placed, sensitivity

VALUES = ["D", "G", "R"]


def images(count=16, channels=3, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, channels, size, size, generator=generator, dtype=torch.float64)
    return functional.avg_pool2d(noise, 5, stride=1, padding=2).mul(5).float()


def made(*parts):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(*(part() for part in parts))


def convnet():
    return made(
        lambda: nn.Conv2d(3, 8, 3),
        nn.ReLU,
        lambda: nn.Conv2d(8, 8, 3, stride=2),
        nn.ReLU,
        nn.Flatten,
        lambda: nn.Linear(8 * 14 * 14, 5),
    )


def same_table(network, expected, **options):
    table = sensitivity(network, images(), seed=0, **options)
    pd.testing.assert_frame_equal(table, expected, rtol=1e-4)


# -- wrappers ------------------------------------------------------------------------------------------------


def compiled(network):
    return torch.compile(network, backend="eager")


def compiled_in_place(network):
    network.compile(backend="eager")
    return network


def parts_compiled(network):
    network[0].compile(backend="eager")
    return nn.DataParallel(torch.compile(network, backend="eager"))


@pytest.mark.parametrize("wrap", [compiled, compiled_in_place, parts_compiled, nn.DataParallel])
@pytest.mark.parametrize("has_run", [False, True])
def test_wrapped_networks_are_looked_through(wrap, has_run):
    expected = sensitivity(convnet(), images(), seed=0)
    assert expected["layer"].tolist() == ["input", "1", "3", "output"]
    torch.compiler.reset()
    network = wrap(convnet())
    if has_run:
        with torch.no_grad():
            network(images(2))
    same_table(network, expected)
    calls = []
    hook = reading.unwrapped(network)[0].register_forward_hook(lambda *_: calls.append(1))
    network(images(2))  # it still runs, compiled where it was
    hook.remove()


def test_networks_that_name_their_points_are_looked_through():
    network = models.build("lenet", generator=torch.Generator().manual_seed(0))
    expected = sensitivity(network, images(), seed=0)
    same_table(compiled(network), expected)
    same_table(nn.DataParallel(network), expected)


def test_a_compiled_child_keeps_its_layers():
    network = nn.Sequential(compiled(convnet()[:4]), convnet()[4:])
    with torch.no_grad():
        network(images(2))
    table = sensitivity(network, images(), seed=0)
    assert table["layer"].tolist() == ["input", "0._orig_mod.1", "0._orig_mod.3", "output"]
    np.testing.assert_allclose(table[VALUES], sensitivity(convnet(), images(), seed=0)[VALUES], rtol=1e-4)


class FullyShardedDataParallel(nn.Module):
    """Has the name of the wrapper, which needs a process group to be made."""


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda x: x, "model must be a torch.nn.Module, not the function '<lambda>'"),
        (nn.ReLU, "model must be a torch.nn.Module, not the type 'ReLU'"),
        ({"weight": torch.ones(2)}, "model must be a torch.nn.Module, not dict"),
        (nn.Sequential(FullyShardedDataParallel()), r"model is sharded \(FSDP\)"),
        (
            nn.Linear(2, 2, device="meta"),
            "model has parameters or buffers without values: 'weight' is on the meta device",
        ),
        (nn.BatchNorm2d(3, device="meta", affine=False), "without values: 'running_mean' is on the meta device"),
        (nn.LazyLinear(2), "without values: 'weight' is lazy: run the model once first"),
    ],
)
def test_no_network_is_one_sentence(network, message):
    with pytest.raises(ValueError, match=message) as caught:
        sensitivity(network, images())
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_networks_on_two_devices_are_refused():
    network = convnet()
    network[0].cuda()
    with pytest.raises(ValueError, match=r"model must be on one device, but has parameters on 2: '0.weight' on cuda:0"):
        sensitivity(network, images())


@pytest.mark.usefixtures("unchecked")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_exported_programs():
    program = torch.export.export(convnet().eval(), (images(4),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    named = ["input", "1", "3", "output"]  # an unflattened program has lost the classes of its modules
    same_table(torch.export.unflatten(program), sensitivity(convnet(), images(), seed=0), layers=named)
    for refused in (program, program.module()):
        with pytest.raises(ValueError, match=r"torch.export.unflatten\(program\)") as caught:
            sensitivity(refused, images())
        assert "\n" not in str(caught.value)


def test_a_model_in_its_place_is_not_copied(monkeypatch):
    network = convnet()
    monkeypatch.setattr(copy, "deepcopy", lambda _: pytest.fail("copied"))
    for device in (None, "cpu", "cpu:0", torch.device("cpu")):
        assert placed(network, device, images())[0] is network


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_model_on_the_gpu_is_not_copied(monkeypatch):
    network = convnet().cuda()
    monkeypatch.setattr(copy, "deepcopy", lambda _: pytest.fail("copied"))
    for device in (None, "cuda", "cuda:0", 0):
        assert placed(network, device, images())[0] is network


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_gpu_that_is_not_there_is_one_sentence():
    with pytest.raises(ValueError, match="device is 'cuda', which cannot be used here: ") as caught:
        sensitivity(convnet(), images(), device="cuda")
    assert "\n" not in str(caught.value)


# -- networks whose features are not those of single images --------------------------------------------------


class Module(nn.Module):
    """A module from a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Fresh(nn.Module):
    """Dropout that is always on."""

    def forward(self, x):
        return functional.dropout(x)


@pytest.mark.parametrize("where", [1, 5])
def test_random_networks_are_refused(where):
    network = nn.Sequential(*convnet()[:where], Fresh(), *convnet()[where:])
    with pytest.raises(ValueError, match="model is random in evaluation mode"):
        sensitivity(network, images(), seed=0)
    proper = nn.Sequential(*convnet()[:where], nn.Dropout(), *convnet()[where:])
    assert len(sensitivity(proper, images(), seed=0)) >= 4


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x - x.mean(0),
        lambda x: torch.cat([x, x.flip(-1)]),  # two crops, crop first
        lambda x: x.reshape(len(x), -1).T,
    ],
    ids=["centred", "crops", "transposed"],
)
def test_outputs_that_depend_on_the_batch_are_refused(function):
    with pytest.raises(ValueError, match=r"model(: the output for one image depends| must return a float tensor)"):
        sensitivity(nn.Sequential(convnet()[:4], Module(function)), images(), seed=0)


def test_outputs_that_depend_little_on_the_batch_are_said():
    class Quantised(nn.Module):
        """As int8 does it at run time: by the range of the batch."""

        def forward(self, x):
            step = x.abs().max() / 20
            return (x / step).round() * step

    loud = images()
    loud[0] *= 3
    with pytest.warns(UserWarning, match="features of one image depend on the others in the batch, at '1' by"):
        sensitivity(nn.Sequential(convnet()[:2], Quantised()), loud, layers=["1"], seed=0)


class Returning(nn.Module):
    """A network that does something with its features at the end."""

    def __init__(self, end):
        super().__init__()
        self.net, self.end = convnet(), end

    def forward(self, x):
        return self.end(self.net(x))


@dataclass
class Output:
    logits: torch.Tensor


@pytest.mark.parametrize("end", [
    lambda out: out.argmax(1), lambda out: out > 0, torch.fft.fft, lambda out: out.sum(), lambda out: Output,
    lambda out: out.numpy(), lambda out: out.to_sparse(),
    lambda out: torch.nested.as_nested_tensor(list(out)), lambda out: None,
])  # fmt: skip
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_outputs_that_are_no_features_are_refused(end):
    with pytest.raises(ValueError, match="model must return a float tensor, or a tuple or dict of them"):
        sensitivity(Returning(end), images())


@pytest.mark.parametrize("end", [
    lambda out: (None, out), lambda out: [out, 2 * out], lambda out: {"loss": out.sum(), "logits": out},
    lambda out: {"n": len(out), "out": (out,)}, Output, lambda out: (Output(None), Output(out)),
])  # fmt: skip
def test_outputs_within_tuples_and_dicts_are_found(end):
    right = sensitivity(Returning(lambda out: out), images(), layers="output", seed=0)
    pd.testing.assert_frame_equal(sensitivity(Returning(end), images(), layers="output", seed=0), right)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    right = sensitivity(convnet(), images(), seed=0)
    half = sensitivity(convnet().to(dtype), images(), seed=0)
    np.testing.assert_allclose(half[["D", "G", "R"]], right[["D", "G", "R"]], rtol=0.02)


@pytest.mark.skipif("x86" not in torch.backends.quantized.supported_engines, reason="needs x86")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("dequantised", [True, False])
def test_quantised_networks(dequantised):
    """Where the ranges are fixed and the output is floats the numbers are right; quantised features are not read."""
    from torch.ao import quantization

    network = nn.Sequential(quantization.QuantStub(), *convnet(), *[quantization.DeQuantStub()] * dequantised)
    network.eval().qconfig = quantization.get_default_qconfig("x86")
    quantization.prepare(network, inplace=True)
    network(images())
    quantization.convert(network, inplace=True)
    if not dequantised:
        with pytest.raises(ValueError, match="model must return a float tensor"):
            sensitivity(network, images())
        return
    table = sensitivity(network, images(), layers="output", seed=0)
    right = sensitivity(convnet(), images(), layers="output", seed=0)
    assert 0 < abs(table["R"][0] / right["R"][0] - 1) < 0.1


class Patches(nn.Module):
    """Four quarters of each image through one layer, quarter first or image first, and put together again."""

    def __init__(self, image_first):
        super().__init__()
        self.image_first = image_first
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layer, self.head = nn.Linear(3 * 16 * 16, 10), nn.Linear(40, 5)
        self.act = nn.ReLU()

    def forward(self, x):
        quarters = torch.stack([x[..., :16, :16], x[..., :16, 16:], x[..., 16:, :16], x[..., 16:, 16:]])
        quarters = (quarters.transpose(0, 1) if self.image_first else quarters).flatten(2)
        out = self.act(self.layer(quarters.flatten(0, 1))).unflatten(0, quarters.shape[:2])
        return self.head((out if self.image_first else out.transpose(0, 1)).flatten(1))


def test_layers_that_fold_the_batch():
    """Image first is read right; patch first is left out with a warning, and refused if it is named."""
    right = sensitivity(Patches(True), images(), seed=0)
    assert right["layer"].tolist() == ["input", "act", "output"]
    with pytest.warns(UserWarning, match="layers: 'act' do not return one row an image"):
        left = sensitivity(Patches(False), images(), seed=0)
    assert left["layer"].tolist() == ["input", "output"]
    np.testing.assert_allclose(left["R"], right["R"][[0, 2]], rtol=1e-5)
    with pytest.raises(ValueError, match="layers: 'act' do not return one row an image"):
        sensitivity(Patches(False), images(), seed=0, layers=["act", "output"])


class Tokens(nn.Module):
    """Rows of pixels as 48 tokens of 64, first or second axis, through an LSTM and an activation."""

    def __init__(self, batch_first):
        super().__init__()
        self.batch_first = batch_first
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.lstm, self.head = nn.LSTM(64, 6, batch_first=batch_first), nn.Linear(6, 4)
        self.act = nn.Tanh()

    def forward(self, x):
        tokens = x.reshape(len(x), 48, 64)
        out, _ = self.lstm(tokens if self.batch_first else tokens.transpose(0, 1))
        out = self.act(self.head(out))
        return out.mean(1 if self.batch_first else 0)


@pytest.mark.parametrize("count", [16, 17, 8])
def test_layers_that_put_tokens_first(count):
    right = sensitivity(Tokens(True), images(count), layers="all", seed=0)
    assert right["layer"].tolist() == ["lstm", "head", "act"]
    with pytest.raises(ValueError, match="layers: 'lstm', 'head', 'act' do not return one row"):
        sensitivity(Tokens(False), images(count), layers="all", seed=0)
    with pytest.warns(UserWarning, match="layers: 'act' do not return one row"):
        assert len(sensitivity(Tokens(False), images(count), seed=0)) == 2
    ends = [sensitivity(Tokens(first), images(count), layers="output", seed=0)["R"][0] for first in (True, False)]
    assert ends[0] == pytest.approx(ends[1], rel=1e-5)


@pytest.mark.parametrize("norm", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_reparametrised_layers_are_rows_and_their_weights_are_not(norm):
    plain = convnet()
    network = copy.deepcopy(plain)
    for index in (0, 2, 5):
        norm(network[index])
    network.eval()
    with torch.no_grad():
        for index in (0, 2, 5):
            plain[index].weight.copy_(network[index].weight)
    for layers in ("all", "blocks"):
        same_table(network, sensitivity(plain, images(), seed=0, layers=layers), layers=layers)


def test_equal_images_and_constant_layers_pass_the_test():
    """What cannot tell two images apart cannot be told to be folded either."""
    same = images(1).expand(6, -1, -1, -1)
    sensitivity(convnet(), same, seed=0)
    network = nn.Sequential(convnet(), Module(torch.zeros_like))
    table = sensitivity(network, images(), seed=0)
    assert table[VALUES].iloc[-1].isna().all()


@pytest.mark.parametrize("batch_statistics", [True, None])
def test_batch_statistics_are_no_dependence_on_the_batch(batch_statistics):
    network = made(lambda: nn.Conv2d(3, 4, 3), lambda: nn.BatchNorm2d(4), nn.ReLU, nn.Flatten)
    assert len(sensitivity(network, images(), batch_statistics=batch_statistics, seed=0)) == 3


# -- left as it was found ------------------------------------------------------------------------------------


class Counts(nn.Module):
    """Counts its calls in a buffer, in place or by a new tensor, and remembers its last input in another."""

    def __init__(self, in_place):
        super().__init__()
        self.in_place = in_place
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", None)

    def forward(self, x):
        if self.in_place:
            self.calls += 1
        else:
            self.calls = self.calls + 1
        return x


@pytest.mark.parametrize("in_place", [True, False])
def test_buffers_are_what_they_were(in_place):
    counter = Counts(in_place)
    network = nn.Sequential(convnet(), counter)
    before = counter.calls
    sensitivity(network, images(), seed=0)
    assert counter.calls is before
    assert counter.calls.item() == 0
    with pytest.raises(ValueError, match="no module"):
        sensitivity(network, images(), layers=["nowhere"])
    assert counter.calls.item() == 0


# -- numbers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statistic", ["mean", "median", "component_median"])
@pytest.mark.parametrize("factor", [1e-25, 1e-30, 1e20, 1e30])
def test_features_of_any_size(factor, statistic):
    options = {"layers": "output", "statistic": statistic, "seed": 0}
    expected = sensitivity(convnet(), images(), **options)
    table = sensitivity(nn.Sequential(convnet(), Module(lambda x: x * factor)), images(), **options)
    np.testing.assert_allclose(table[VALUES], expected[VALUES], rtol=1e-4)


def test_features_that_overflow_are_said():
    network = nn.Sequential(convnet(), Module(lambda x: x * 1e38 * 1e3))
    for statistic in ("mean", "median", "component_median"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            table = sensitivity(network, images(), seed=0, statistic=statistic)
        assert any("the features of 'output' hold NaN or infinite values" in str(w.message) for w in caught)
        assert table["R"].isna().tolist() == [False, False, False, True]


@pytest.mark.parametrize(("offset", "dtype", "said"), [
    (1e6, torch.float32, True), (1e4, torch.float32, False), (1e6, torch.float64, False), (0, torch.bfloat16, False),
])  # fmt: skip
def test_features_lost_in_a_large_constant_are_said(offset, dtype, said):
    """f + 1e6 in float32: D and G are the rounding of the features, and R is anything."""
    network = nn.Sequential(convnet(), Module(lambda x: x + offset)).to(dtype)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sensitivity(network, images(), seed=0)
    assert ["the features of 'output' are so much larger" in str(w.message) for w in caught] == [True] * said


def test_two_images_alike_are_no_loss():
    """A network that is as sure of one class for the first two images, and of another for the others."""
    shifts = torch.tensor([0.0, 0.2, 2.0, 2.0, 2.0, 2.0])[:, None, None, None]
    steps = nn.Sequential(Module(lambda x: 1 + 2e-7 * (x.mean((1, 2, 3)) > 0.1) + (x.mean((1, 2, 3)) > 1)))
    pictures = shifts + 0.01 * images()[:6]
    assert 0 < float(steps(pictures)[1] - steps(pictures)[0]) < 1e-6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sensitivity(steps, pictures, layers="output", seed=0)


def test_compare_looks_through_wrappers_too():
    clean = images(6)
    tables = [compare(net, clean, clean.flip(3), clean + 0.1) for net in (convnet(), nn.DataParallel(convnet()))]
    pd.testing.assert_frame_equal(*tables)


def test_signature():
    """The default batch of 32 takes 4 GB for VGG16 at 224 pixels, the largest of the common networks."""
    parameters = inspect.signature(sensitivity).parameters
    assert {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY} == {
        "layers": "blocks", "displacement": 1.0, "cut": 3, "statistic": "mean", "noise": "white", "radius": "per_image",
        "interpolation": "bilinear", "batch_statistics": None, "draws": 1, "batch_size": 32, "seed": None,
        "generator": None, "device": None, "progress": None,
    }  # fmt: skip
    assert list(parameters)[:2] == ["model", "images"]
