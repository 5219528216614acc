"""Networks of public repositories, rebuilt from a short description and their tensors.

A description (`spec`) is `{"kind": "seq", "layers": [["conv", 3, 32, 5, 1, 2, 1, True], ["relu"], ...]}` for a chain
of layers (the large majority; the arguments of `LAYERS`), or `{"kind": NAME, ...}` with an entry of `KINDS`
and its options. Parts carry the names that they have in the files, so that a state dict fits as it is. Networks take
images normalised as their source did (`NORMS`) and return logits: a final softmax is left out.

Whether a network was rebuilt rightly is not known from its shapes; its test error has to show it.

>>> chain = build({"kind": "seq", "layers": [["conv", 1, 4, 3, 1, 0, 1, True], ["relu"], ["gap"], ["flatten"]]})
>>> chain(torch.zeros(2, 1, 28, 28)).shape
torch.Size([2, 4])
>>> sum(p.numel() for p in build({"kind": "CifarResNet", "n": 3}).parameters())
269722
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from relstab.models.cifar_resnet import PaddedShortcut

NORMS = {  # mean and standard deviation, by channel or one for all, of pixels in [0, 1]
    "01": ((0.0,), (1.0,)),
    "half": ((0.5,), (0.5,)),
    "centred": ((0.5,), (1.0,)),
    "raw255": ((0.0,), (1 / 255,)),
    "cifar": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar2023": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "kw225": ((0.485, 0.456, 0.406), (0.225,)),
    "mnist": ((0.1307,), (0.3081,)),
    "fmnist": ((0.2860,), (0.3530,)),
}


def norm(name: str, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation by channel; ValueError for a name that is none of `NORMS`.

    >>> norm("half", 3)
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    """
    if name not in NORMS:
        raise ValueError(f"norm is {name!r}; it must be one of {', '.join(NORMS)}")
    mean, std = ((part * channels)[:channels] if len(part) == 1 else part for part in NORMS[name])
    return mean, std


# Chains ---------------------------------------------------------------------------------------------------------------


def _convolution(inputs: int, outputs: int, size: int, stride: int, padding: int, groups: int, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, size, stride, padding, groups=groups, bias=bias)


class Transposed(nn.Module):
    """Exchanges rows and columns of the picture."""

    def forward(self, x: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch channel w h"]:
        """The transposed picture."""
        return x.transpose(2, 3)


LAYERS = {
    "conv": _convolution,  # inputs, outputs, size, stride, padding, groups, bias
    "linear": nn.Linear,  # inputs, outputs, bias
    "bn1": nn.BatchNorm1d,  # channels, ε
    "bn2": nn.BatchNorm2d,
    "lrn": nn.LocalResponseNorm,  # size, α, β, k
    "maxpool": nn.MaxPool2d,  # size, stride, padding
    "avgpool": nn.AvgPool2d,
    "adaptavg": nn.AdaptiveAvgPool2d,  # size of the result
    "gap": partial(nn.AdaptiveAvgPool2d, 1),
    "gmp": partial(nn.AdaptiveMaxPool2d, 1),
    "zeropad": lambda *sides: nn.ZeroPad2d(sides),  # left, right, top, bottom
    "flatten": nn.Flatten,
    "transpose": Transposed,
    "leaky": nn.LeakyReLU,  # slope
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "id": nn.Identity,
}


def chain(layers: Sequence) -> nn.Sequential:
    """The layers one after the other; ValueError for a layer that is none of `LAYERS`."""
    unknown = [name for name, *_ in layers if name not in LAYERS]
    if unknown:
        raise ValueError(f"layers holds {unknown[0]!r}; a layer must be one of {', '.join(LAYERS)}")
    return nn.Sequential(*(LAYERS[name](*sizes) for name, *sizes in layers))


# Parts of the other networks ------------------------------------------------------------------------------------------


def named(**parts: nn.Module | None) -> nn.Sequential:
    """The parts one after the other, under these names; None is left out."""
    sequence = nn.Sequential()
    for name, part in parts.items():
        if part is not None:
            sequence.add_module(name, part)
    return sequence


def conv(
    inputs: int, outputs: int, size: int = 3, stride: int = 1, *, bias: bool = False, groups: int = 1
) -> nn.Conv2d:
    """A convolution that keeps the size of the picture (at stride 1)."""
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=bias)


class Block(nn.Module):
    """after(main(x) + beside(x)), or with `join=torch.cat` after([beside(x), main(x)] on the channel axis).

    All parts lie side by side in the block, under their names. Without `beside` it is x itself.
    """

    def __init__(
        self,
        main: Mapping[str, nn.Module],
        beside: Mapping[str, nn.Module] | None = None,
        after: Mapping[str, nn.Module] | None = None,
        *,
        join: str = "add",
    ):
        super().__init__()
        self.main, self.beside, self.after = tuple(main), tuple(beside or ()), tuple(after or ())
        self.join = join
        for name, part in {**main, **(beside or {}), **(after or {})}.items():
            self.add_module(name, part)

    def forward(self, x: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
        """The joined branches."""
        y, z = self._through(self.main, x), self._through(self.beside, x)
        return self._through(self.after, y + z if self.join == "add" else torch.cat([z, y], 1))

    def _through(self, names: Iterable[str], x: Tensor) -> Tensor:
        for name in names:
            x = getattr(self, name)(x)
        return x


class Centred(nn.Sequential):
    """A chain that takes `scale` x − mean: some sources keep the mean picture of their training set with the
    network.
    """

    def __init__(self, parts: nn.Sequential, scale: float = 1.0):
        super().__init__()
        for name, part in parts.named_children():
            self.add_module(name, part)
        self.scale = scale
        self.register_buffer("mean", torch.zeros(3, 32, 32))

    def forward(self, x: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch klass"]:
        """The logits."""
        return super().forward(self.scale * x - self.mean)


def pooled_head(**parts: nn.Module) -> dict[str, nn.Module]:
    """Average over the picture, then the parts: the end of most networks here."""
    return {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), **parts}


def stages(
    widths: Sequence[int], counts: Sequence[int], block: Callable[..., nn.Module], inputs: int, name: str = "layer"
) -> dict[str, nn.Module]:
    """{layer1: ..., layer2: ...}: count blocks each, every stage but the first halving the picture."""
    parts = {}
    for index, (width, count) in enumerate(zip(widths, counts, strict=True)):
        blocks = []
        for position in range(count):
            blocks.append(block(inputs, width, 2 if index and not position else 1))
            inputs = width
        parts[f"{name}{index + 1}"] = nn.Sequential(*blocks)
    return parts


# Residual networks ----------------------------------------------------------------------------------------------------


def _two_convolutions(inputs: int, outputs: int, stride: int) -> dict[str, nn.Module]:
    return {"conv1": conv(inputs, outputs, stride=stride), "bn1": nn.BatchNorm2d(outputs), "relu1": nn.ReLU(),
            "conv2": conv(outputs, outputs), "bn2": nn.BatchNorm2d(outputs)}  # fmt: skip


def _projection(inputs: int, outputs: int, stride: int, size: int = 1) -> nn.Sequential:
    return named(**{"0": conv(inputs, outputs, size, stride), "1": nn.BatchNorm2d(outputs)})


def _residual(
    inputs: int,
    outputs: int,
    stride: int,
    *,
    option: str = "A",
    after: Callable[[int], dict] | None = None,
    name: str = "shortcut",
    size: int = 1,
) -> Block:
    """A basic block; where the shape changes the shortcut is padded (option A) or a projection (B)."""
    beside = None
    if stride != 1 or inputs != outputs:
        padded = option == "A"
        shortcut = PaddedShortcut(outputs - inputs) if padded else _projection(inputs, outputs, stride, size)
        beside = {name: shortcut}
    extra = after(outputs) if after else {}
    return Block(_two_convolutions(inputs, outputs, stride), beside, {**extra, "relu2": nn.ReLU()})


def cifar_resnet(
    n: int = 3,
    widths: Sequence[int] = (16, 32, 64),
    option: str = "A",
    classes: int = 10,
    blocks: Sequence[int] | None = None,
    after: Callable[[int], dict] | None = None,
) -> nn.Module:
    """He et al.'s networks of 6n + 2 layers."""
    block = partial(_residual, option=option, after=after)
    return named(
        conv1=conv(3, widths[0]),
        bn1=nn.BatchNorm2d(widths[0]),
        relu=nn.ReLU(),
        **stages(widths, blocks or [n] * len(widths), block, widths[0]),
        **pooled_head(linear=nn.Linear(widths[-1], classes)),
    )


def third_norm_resnet(n: int = 9, mode: str = "sum") -> nn.Module:
    """A CIFAR ResNet with a third BatchNorm, of the sum."""
    if mode != "sum":
        raise ValueError(f"mode is {mode!r}; only the network that normalises the sum ('sum') is known")
    return cifar_resnet(n, option="B", after=lambda width: {"bn3": nn.BatchNorm2d(width)})


def wide_shortcut_resnet(blocks: Sequence[int] = (3, 4, 6)) -> nn.Module:
    """16, 32 and 64 channels; 3 x 3 shortcuts where the size changes."""
    block = partial(_residual, option="B", name="downsample", size=3)
    return named(conv=conv(3, 16), bn=nn.BatchNorm2d(16), relu=nn.ReLU(),
                 **stages((16, 32, 64), blocks, block, 16), **pooled_head(fc=nn.Linear(64, 10)))  # fmt: skip


def four_block_resnet() -> nn.Module:
    """Four blocks whose sum passes no ReLU."""

    def block(inputs, outputs, stride):
        main = chain([
            ("conv", inputs, outputs, 3, stride, 1, 1, False), ("bn2", outputs), ("relu",),
            ("conv", outputs, outputs, 3, 1, 1, 1, False), ("bn2", outputs),
        ])  # fmt: skip
        changes = stride != 1 or inputs != outputs
        shortcut = _projection(inputs, outputs, stride) if changes else nn.Identity()
        return Block({"layers": main}, {"shortcut": shortcut})

    return named(
        in_head=chain([("conv", 3, 16, 3, 1, 1, 1, False), ("bn2", 16), ("relu",)]),
        layer1=block(16, 32, 1),
        layer2=block(32, 64, 2),
        layer3=block(64, 64, 2),
        layer4=block(64, 64, 2),
        **pooled_head(out_head=nn.Linear(64, 10)),
    )


def folded_resnet() -> nn.Module:
    """Blocks without BatchNorm, whose statistics were folded into the biases."""

    def block(inputs, outputs, stride):
        main = {
            "conv1": conv(inputs, outputs, stride=stride, bias=True),
            "relu1": nn.ReLU(),
            "conv2": conv(outputs, outputs, bias=True),
        }
        same = stride == 1 and inputs == outputs
        shortcut = None if same else {"shortcut": nn.Sequential(conv(inputs, outputs, 1, stride, bias=True))}
        return Block(main, shortcut, {"relu2": nn.ReLU()})

    return named(
        conv1=conv(3, 8, stride=2, bias=True),
        relu=nn.ReLU(),
        layer1=nn.Sequential(block(8, 16, 2), block(16, 16, 1)),
        layer2=nn.Sequential(block(16, 32, 2), block(32, 32, 1)),
        flatten=nn.Flatten(),
        linear1=nn.Linear(512, 100),
        relu3=nn.ReLU(),
        linear2=nn.Linear(100, 10),
    )


def keras_resnet(n: int = 3, scale: float | int = 1.0, **options: Any) -> nn.Module:
    """Keras's example: convolutions with biases, shortcuts without BatchNorm, padding below and to the right."""
    norm = partial(nn.BatchNorm2d, eps=1e-3)
    names, shortcuts = {"convs.0": "stem", "bns.0": "bn"}, 0

    def block(inputs, outputs, stride):
        pad = {"pad": nn.ZeroPad2d((0, 1, 0, 1))} if stride == 2 else {}
        first = nn.Conv2d(inputs, outputs, 3, stride, 2 - stride)
        main = {**pad, "conv1": first, "bn1": norm(outputs), "relu1": nn.ReLU(),
                "conv2": conv(outputs, outputs, bias=True), "bn2": norm(outputs)}  # fmt: skip
        shortcut = {"shortcut": conv(inputs, outputs, 1, stride, bias=True)} if stride == 2 else None
        return Block(main, shortcut, {"relu2": nn.ReLU()})

    parts = stages((16, 32, 64), (n, n, n), block, 16)
    model = Centred(
        named(stem=conv(3, 16, bias=True), bn=norm(16), relu=nn.ReLU(), **parts, **pooled_head(fc=nn.Linear(64, 10))),
        scale,
    )
    places = [f"{stage}.{index}" for stage in parts for index in range(n)]
    for index, place in enumerate(places):
        names |= {f"{kind}s.{2 * index + part}": f"{place}.{kind}{part}" for kind in ("conv", "bn") for part in (1, 2)}
        if hasattr(model.get_submodule(place), "shortcut"):
            names[f"shorts.{shortcuts}"] = f"{place}.shortcut"
            shortcuts += 1
    model.source_names = names
    return model


# Dense, mobile and Caffe networks -------------------------------------------------------------------------------------


def _dense(config: Sequence[int], growth: int, channels: int, inner: str) -> tuple[dict[str, nn.Module], int]:
    """Dense blocks with a transition between them, and the channels at the end."""

    def layer(inputs):
        return Block({
            "bn1": nn.BatchNorm2d(inputs), "relu1": nn.ReLU(), "conv1": conv(inputs, 4 * growth, 1),
            "bn2": nn.BatchNorm2d(4 * growth), "relu2": nn.ReLU(), "conv2": conv(4 * growth, growth),
        }, join="cat")  # fmt: skip

    parts = {}
    for index, count in enumerate(config):
        if index:
            halved = {"bn": nn.BatchNorm2d(channels), "relu": nn.ReLU(), "conv": conv(channels, channels // 2, 1)}
            parts[f"transition{index}"] = named(**halved, pool=nn.AvgPool2d(2))
            channels //= 2
        layers = nn.Sequential(*(layer(channels + growth * position) for position in range(count)))
        parts[f"denseblock{index + 1}"] = named(**{inner: layers})
        channels += growth * count
    return parts, channels


def dense_52(config: Sequence[int] = (16, 16, 16), growth: int = 12, init: int = 24) -> nn.Module:
    """A DenseNet with a normalised stem."""
    parts, channels = _dense(config, growth, init, "layers")
    features = named(
        **{"0": conv(3, init), "1": nn.BatchNorm2d(init), "2": nn.ReLU()},
        **parts,
        norm5=nn.BatchNorm2d(channels),
        relu5=nn.ReLU(),
    )
    return named(features=features, **pooled_head(classifier=nn.Linear(channels, 10)))


def dense_bare_stem(config: Sequence[int] = (6, 12, 24), growth: int = 12, init: int = 24) -> nn.Module:
    """A DenseNet whose stem is a convolution alone."""
    parts, channels = _dense(config, growth, init, "block")
    return named(conv0=conv(3, init), features=named(**parts), bn=nn.BatchNorm2d(channels), relu=nn.ReLU(),
                 **pooled_head(fc=nn.Linear(channels, 10)))  # fmt: skip


def mobile() -> nn.Module:
    """Depthwise separable and inverted bottleneck convolutions with GELU."""

    def normed(convolution):
        return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.GELU()]

    def separable(inputs, outputs, stride=1):
        depthwise = conv(inputs, inputs, stride=stride, groups=inputs)
        return nn.Sequential(*normed(depthwise), *normed(conv(inputs, outputs, 1)))

    def inverted(inputs, outputs, factor, stride):
        wide = inputs * factor
        return nn.Sequential(*normed(conv(inputs, wide, 1)), separable(wide, outputs, stride))

    features = nn.Sequential(separable(32, 64), inverted(64, 128, 4, 2), inverted(128, 128, 4, 1),
                             inverted(128, 256, 4, 2), separable(256, 512, 2))  # fmt: skip
    stem = nn.Sequential(*normed(conv(3, 32)))
    return named(stem=stem, features=features, **pooled_head(fc=nn.Linear(512, 10)))


def caffe_quick(which: str = "quick") -> nn.Module:
    """Caffe's example for CIFAR-10; it takes pixels from 0 to 255, less their mean picture, which it keeps."""
    if which != "quick":
        raise ValueError(f"which is {which!r}; only the 'quick' network is known")
    return Centred(
        named(
            conv1=conv(3, 32, 5, bias=True), pool1=nn.MaxPool2d(3, 2, ceil_mode=True), relu1=nn.ReLU(),
            conv2=conv(32, 32, 5, bias=True), relu2=nn.ReLU(), pool2=nn.AvgPool2d(3, 2, ceil_mode=True),
            conv3=conv(32, 64, 5, bias=True), relu3=nn.ReLU(), pool3=nn.AvgPool2d(3, 2, ceil_mode=True),
            flatten=nn.Flatten(), ip1=nn.Linear(1024, 64), ip2=nn.Linear(64, 10),
        ), 255.0,
    )  # fmt: skip


# Transformers ---------------------------------------------------------------------------------------------------------


class PreNorm(nn.Module):
    """A transformer block: x + attention(norm1(x)), then x + mlp(norm2(x))."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Float[Tensor, "batch token width"]) -> Float[Tensor, "batch token width"]:
        """The tokens after the block."""
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches of 4 x 4 pixels of a picture of 32 x 32 as tokens, one more for the class, and positions.

    embedding, blocks and head are (name, module); the class token and the positions start as N(0, 0.02²).
    """

    def __init__(
        self, width: int, embedding: tuple[str, nn.Module], blocks: tuple[str, nn.Module], head: tuple[str, nn.Module]
    ):
        super().__init__()
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.pos_embed = nn.Parameter(torch.empty(1, 65, width))
        nn.init.normal_(self.cls_token, std=0.02)
        nn.init.normal_(self.pos_embed, std=0.02)
        self.parts = tuple(name for name, _ in (embedding, blocks, head))
        for name, part in (embedding, blocks, head):
            self.add_module(name, part)

    def forward(self, x: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch klass"]:
        """The logits."""
        embedding, blocks, head = (getattr(self, name) for name in self.parts)
        tokens = embedding(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(x), -1, -1), tokens], 1) + self.pos_embed
        return head(blocks(tokens)[:, 0])


def prenorm_transformer(d: int = 64, heads: int = 4, depth: int = 4, conv: bool = False) -> VisionTransformer:
    """Blocks that normalise first; with `conv` a convolution follows the patches."""
    enrich = nn.Conv2d(d, d, 3, padding=1) if conv else None
    return VisionTransformer(
        d,
        ("patch_embedding", named(embed=nn.Conv2d(3, d, 4, 4), enrich=enrich)),
        ("transformer_layers", nn.Sequential(*(PreNorm(d, heads) for _ in range(depth)))),
        ("out_head", nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 10))),
    )


def postnorm_transformer(d: int = 128, depth: int = 6, heads: int = 8, mlp: int = 256) -> VisionTransformer:
    """torch's encoder layers, which normalise after each sum."""
    layers = (nn.TransformerEncoderLayer(d, heads, mlp, batch_first=True) for _ in range(depth))
    return VisionTransformer(
        d,
        ("patch_embed", named(proj=nn.Conv2d(3, d, 4, 4))),
        ("transformer", named(layers=nn.Sequential(*layers))),
        ("mlp_head", nn.Sequential(nn.LayerNorm(d), nn.Linear(d, 10))),
    )


def patches_and_perceptron(d: int = 128, mlp: int = 256) -> nn.Module:
    """One convolution of patches, averaged over the picture, and a fully connected network."""
    cnn = nn.Sequential(nn.Conv2d(3, d, 4, 4), nn.ReLU(), nn.BatchNorm2d(d))
    layers = nn.Sequential(nn.Linear(d, mlp), nn.ReLU(), nn.BatchNorm1d(mlp), nn.Identity(), nn.Linear(mlp, 10))
    return named(cnn=cnn, pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), mlp=layers)


# Descriptions to networks ---------------------------------------------------------------------------------------------

KINDS = {
    "seq": chain,
    "CifarResNet": cifar_resnet,
    "Bn3ResNet": third_norm_resnet,
    "YunjeyResNet": wide_shortcut_resnet,
    "AshuRes4": four_block_resnet,
    "MnBabResNet": folded_resnet,
    "KerasResNetV1": keras_resnet,
    "DenseNetEric": dense_52,
    "DenseNetJason": dense_bare_stem,
    "LightMobile": mobile,
    "CaffeNet": caffe_quick,
    "AshuViT": prenorm_transformer,
    "SmmkViT": postnorm_transformer,
    "SmmkHybrid": patches_and_perceptron,
}


def build(spec: Mapping, *, seed: int = 0) -> nn.Module:
    """The network of a description, freshly initialised as torch does by default, in evaluation mode.

    Args:
        spec: {"kind": a key of `KINDS`, and its options}.
        seed: Of the initial weights; torch's global random state is left alone.

    Raises:
        ValueError: An unknown kind or layer.
    """
    options = dict(spec)
    kind = options.pop("kind", None)
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return KINDS[kind](**options).eval()


def fill(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Load a state dict, every tensor of it and nothing else; RuntimeError (torch's) where one does not fit."""
    places = getattr(model, "source_names", {})

    def here(key):
        module, _, leaf = key.rpartition(".")
        return f"{places[module]}.{leaf}" if module in places else key

    model.load_state_dict({here(key): value for key, value in state.items()})
    return model


def digest(state: Mapping[str, Tensor]) -> str:
    """First 16 hex digits of the SHA-256 over the sorted (key, bytes) of a state dict.

    >>> digest({"weight": torch.zeros(2)})
    '3688caeed5ef2f3f'
    """
    found = hashlib.sha256()
    for key in sorted(state):
        found.update(key.encode())
        found.update(state[key].contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
