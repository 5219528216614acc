"""Which layers a probe reads, and reading them: forward hooks that hand each output on and keep nothing.

B measures D, G and R at a network's output, A at every depth k/K (A Figs. 3 and 7), C at each activation. The
rules for `layers` shared by all probes::

    "output"      the network's output
    "blocks"      the input, the network's blocks, the output (see `choose`)
    "all"         every module without children that runs
    [names]       modules of `model.named_modules()`, rows of an earlier table, and "input", "output"

Rows come in the order in which the modules run. A module that runs several times in one forward pass gives a
row each time: "relu", "relu:2", ... A module that returns a tuple, a dict or a dataclass counts with its first float
tensor that has the images on its first axis; one that has none is left out, or refused if it was named.

>>> from torch import nn
>>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
>>> images = torch.ones(2, 1, 2, 2)
>>> with undisturbed(model):
...     seen = trace(model, images)
>>> [layer.label for layer in choose(model, seen, "blocks")]
['input', '2', 'output']
"""

import difflib
import itertools
import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

_ENDS = ("input", "output")
_REPARAMETRISED = "parametrizations"  # children that torch gives to modules for weight_norm and the like
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
# Two readings of one image agree if they differ by less than SAME of what two images differ by, plus rounding, a
# share of the features' norm (a CUDA device may use TF32); up to SIMILAR it is said, above it is refused.
_SAME, _SIMILAR = 0.01, 0.1
# Of the difference between two images may be lost to the rounding of large features; images that are asked.
_ROUNDED, _LOOK = 0.05, 16

Key = tuple[str, int]  # name and call of a reading point
Visit = Callable[[Key, Any], object]


@dataclass(frozen=True)
class Layer:
    """One reading point: the `call`-th run of module `name` in a pass; call 0 is an end of the network."""

    name: str
    call: int
    size: int | None = None  # components an image, None if the output is no batch of features

    @property
    def label(self) -> str:
        return self.name if self.call <= 1 else f"{self.name}:{self.call}"

    @property
    def key(self) -> Key:
        return self.name, self.call


def features(output: object, batch: int) -> Tensor | None:
    """The first float tensor in a module's output whose first axis holds `batch` inputs, or None.

    >>> features((None, torch.zeros(4, 3)), 4).shape, features(torch.zeros(3, 3), 4)
    (torch.Size([4, 3]), None)
    """
    if isinstance(output, Tensor):
        if output.is_nested or output.layout != torch.strided:
            return None
        numbers = output.is_floating_point() and output.ndim > 0 and output.numel() > 0
        return output if numbers and len(output) % batch == 0 else None
    if isinstance(output, Mapping):
        output = output.values()
    elif is_dataclass(output) and not isinstance(output, type):
        output = [getattr(output, field.name) for field in fields(output)]
    elif not isinstance(output, (tuple, list)):
        return None
    return next((found for part in output if (found := features(part, batch)) is not None), None)


def unwrapped(model: Any) -> nn.Module:
    """The network inside torch.compile, DataParallel and the like; ValueError, one sentence, for what is no network.

    >>> unwrapped(nn.DataParallel(nn.Flatten()))
    Flatten(start_dim=1, end_dim=-1)
    """
    while isinstance(model, _WRAPPERS) or hasattr(model, "_orig_mod"):
        model = model.module if isinstance(model, _WRAPPERS) else model._orig_mod
    if not isinstance(model, nn.Module):
        hint = "; torch.export.unflatten(program) is one" if hasattr(model, "graph_signature") else ""
        raise ValueError(f"model must be a torch.nn.Module, not {_kind(model)}{hint}")
    for module in model.modules():
        if any(kind.__name__ == "FullyShardedDataParallel" for kind in type(module).__mro__):
            raise ValueError("model is sharded (FSDP), so that no process holds it whole: gather its weights first")
    places = {}
    for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
        if tensor.device.type == "meta" or is_lazy(tensor):
            why = "is lazy: run the model once first" if is_lazy(tensor) else "is on the meta device"
            raise ValueError(f"model has parameters or buffers without values: {name!r} {why}")
        if type(tensor).__name__ == "DTensor" or type(tensor.data).__name__ == "DTensor":
            raise ValueError("model is sharded (DTensor), so that no process holds it whole: gather its weights first")
        if isinstance(tensor, nn.Parameter):
            places.setdefault(str(tensor.device), name)
    if len(places) > 1:
        where = " and ".join(f"{name!r} on {place}" for place, name in list(places.items())[:2])
        raise ValueError(f"model must be on one device, but has parameters on {len(places)}: {where}")
    return model


def _kind(model: object) -> str:
    return f"the {type(model).__name__} {model.__name__!r}" if hasattr(model, "__name__") else type(model).__name__


def sweep(model: nn.Module, inputs: Tensor, visit: Visit, names: Iterable[str]) -> None:
    """One forward pass that calls visit((name, call), output) as each named module returns, ends included.

    The hooks are removed on the way out, also after an exception.
    """
    calls = Counter()

    def reader(name):
        def read(_module, _arguments, output):
            calls[name] += 1
            visit((name, calls[name]), output)

        return read

    visit(("input", 0), inputs)
    with ExitStack() as stack:
        for name in names:
            handle = model.get_submodule(name).register_forward_hook(reader(name))
            stack.callback(handle.remove)
        output = model(inputs)
    visit(("output", 0), output)


def trace(model: nn.Module, inputs: Tensor, visit: Visit | None = None) -> list[Layer]:
    """Every reading point of `model`, in order of occurrence, from a forward pass of a few inputs.

    visit, if given, is called as visit(key, features [input, ...]) for every one that can be read.
    """
    seen = []

    def look(key, output):
        found = features(output, len(inputs))
        seen.append(Layer(*key, size=None if found is None else found.numel() // len(inputs)))
        if visit is not None and found is not None:
            visit(key, found.unflatten(0, (len(inputs), -1)).flatten(1))

    named = model.named_modules(remove_duplicate=False)
    # A TorchScript program runs without its Python modules: hooks inside it would not be called.
    names = [name for name, module in named if name and not isinstance(module, torch.jit.ScriptModule)]
    sweep(model, inputs, look, names)
    return seen


def choose_faithful(model: nn.Module, images: Tensor, layers: Any, *, sets: int = 1) -> list[Layer]:
    """The reading points that `layers` asks for, those left out that hold no features of single images.

    A layer may put another axis first, fold a second one into the batch, or return a tensor that has nothing to
    do with the images; a network may draw random numbers in evaluation mode, or look at the batch as a whole.
    Whether an image has features of its own is tried: two different images go through the network together, then
    one of them in other company. images: [image, ...]; sets: copies of the two images that go in at a time, more
    than one if BatchNorm normalises each set by its own statistics; then only their order is changed.

    ValueError if the output, or a layer that was named, fails; a warning names the others, and those whose features
    are lost in the rounding of a large constant.
    """
    other = next((index for index in range(1, len(images)) if not torch.equal(images[index], images[0])), 1)
    pair = images[[0, other]]
    reference, rounded = {}, {}

    def remember(key, found):
        first, second = _rows(found[:2].detach())
        reference[key] = second, float((second - first).norm()), float(second.norm())
        rounded[key] = torch.finfo(found.dtype).eps * reference[key][2] > _ROUNDED * reference[key][1] > 0

    chosen = choose(model, trace(model, torch.cat([pair] * sets), remember), layers)
    wanted = {layer.key for layer in chosen}
    # Two images alone may have features that are alike, as behind a softmax that is sure of one class.
    lost = _rounded(model, images[:_LOOK], sets) if any(rounded[layer.key] for layer in chosen) else {}
    if names := ", ".join(repr(layer.label) for layer in chosen if rounded[layer.key] and lost.get(layer.key)):
        warnings.warn(
            f"layers: the features of {names} are so much larger than their differences between images that their "
            f"type rounds away more than {100 * _ROUNDED:.0f} % of these; take one of higher precision",
            stacklevel=2,
        )
    company = pair[[1, 1, 1]] if sets == 1 else torch.cat([pair.flip(0)] * sets)
    differences = dict.fromkeys(wanted, float("inf"))

    def compare(key, output):
        if key not in wanted:
            return
        found = features(output, len(company))
        expected, spread, norm = reference[key]
        if found is not None and found.numel() // len(company) == len(expected):
            row = _rows(found.unflatten(0, (len(company), -1)).flatten(1)[:1])[0]
            rounding = 0.125 if found.dtype in (torch.float16, torch.bfloat16) else 2e-5
            rounding = max(rounding, 2e-3) if found.device.type != "cpu" else rounding
            difference = float((row - expected).norm()) - rounding * norm
            # Not so of features that are not finite, which are no matter of this test.
            apart = difference > _SAME * spread
            differences[key] = (difference / spread if spread > 0 else float("inf")) if apart else 0.0

    sweep(model, company, compare, {name for name, call in wanted if call > 0})
    bad = [layer for layer in chosen if differences[layer.key] > _SAME]
    return (
        [layer for layer in chosen if layer not in bad]
        if not bad
        else _without(model, chosen, bad, differences, reference, torch.cat([pair] * sets), layers)
    )


def _rounded(model: nn.Module, images: Tensor, sets: int) -> dict[Key, bool]:
    """Whether features are lost to rounding, by reading point, in the root mean square over the pairs of images."""
    lost = {}

    def look(key, found):
        rows = _rows(found[: len(images)].detach())
        differences = math.sqrt(2) * float((rows - rows.mean(0)).norm())
        lost[key] = torch.finfo(found.dtype).eps * float(rows.norm()) > _ROUNDED * differences

    trace(model, torch.cat([images] * sets), look)
    return lost


def _without(
    model: nn.Module, chosen: list[Layer], bad: list, differences: dict, reference: dict, pair: Tensor, layers: Any
) -> list[Layer]:
    """What remains of `chosen` without the layers that failed the test of `choose_faithful`, if that is right."""
    again = {}
    seen = {layer.key for layer in bad}

    def read(key, output):
        found = features(output, len(pair)) if key in seen else None
        if found is not None:
            again[key] = _rows(found.unflatten(0, (len(pair), -1)).flatten(1)[1:2])[0]

    sweep(model, pair, read, {name for name, call in seen if call > 0})
    for layer in bad:
        expected, spread, norm = reference[layer.key]
        if layer.key in again and float((again[layer.key] - expected).norm()) > _SAME * spread + 2e-3 * norm:
            raise ValueError(
                f"model is random in evaluation mode: {layer.label!r} gives other features for the same images each "
                "time (dropout that is always on?); make it deterministic first"
            )
    worst = max(bad, key=lambda layer: differences[layer.key])
    if differences[worst.key] <= _SIMILAR:
        share = f"{100 * differences[worst.key]:.1f} % of the difference between two images"
        warnings.warn(
            f"model: features of one image depend on the others in the batch, at {worst.label!r} by {share} "
            "(quantised by the range of the batch?); D, G and R depend on the batch size as much",
            stacklevel=2,
        )
        return chosen
    names = ", ".join(repr(layer.label) for layer in bad[:5]) + (", ..." if len(bad) > 5 else "")
    if any(layer.key == ("output", 0) for layer in bad):
        raise ValueError(
            "model: the output for one image depends on the other images of the batch, or does not have one row an "
            f"image, in the order of the images (first at {bad[0].label!r}); D, G and R of single images need that"
        )
    if not isinstance(layers, str) or len(bad) == len(chosen):
        raise ValueError(f"layers: {names} do not return one row an image, in the order of the images")
    warnings.warn(
        f"layers: {names} do not return one row an image, in the order of the images (another axis first, or folded "
        "into the batch), and are left out",
        stacklevel=2,
    )
    return [layer for layer in chosen if layer not in bad]


def _rows(found: Tensor) -> Tensor:
    """float64 copies of the rows, which an in-place operation cannot reach;
    on the CPU where the device lacks the type.
    """
    return (found.cpu() if found.device.type == "mps" else found).to(torch.float64, copy=True)


def choose(model: nn.Module, seen: list[Layer], layers: Any) -> list[Layer]:
    """The reading points among `seen` that `layers` asks for; ValueError if it cannot be met.

    "blocks" is the input, the points below and the output. The points are `model.probe_points` where the
    model names them (all of relstab.models do: after each activation, addition or pooling, as in A Figs. 3
    and 7). For any other network they are the first of these that gives a point:

    1. the outermost modules with children whose class, other than a plain container, occurs at least twice:
       the residual, inverted-residual, transformer, dense or inception blocks of torchvision's networks;
    2. the activation modules (classes of `torch.nn.modules.activation` but attention);
    3. every module without children.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    usable = [layer for layer in seen if layer.size is not None]

    def points(names):
        return [layer for layer in usable if layer.call > 0 and layer.name in names]

    def ends(*names):
        return [layer for layer in usable if layer.call == 0 and layer.name in names]

    known = layers in ("blocks", "output", "all") if isinstance(layers, str) else isinstance(layers, Iterable)
    if not known:
        raise ValueError(f"layers must be 'blocks', 'output', 'all' or a list of names, not {layers!r}")
    if not isinstance(layers, str):
        return _listed(modules, seen, list(layers))
    if not ends("output"):
        raise ValueError("model must return a float tensor, or a tuple or dict of them, with one row an image")
    if layers == "output":
        return ends("output")
    if any(isinstance(module, torch.jit.ScriptModule) for module in modules.values()):
        warnings.warn("layers: of a TorchScript program only the ends can be read, no layer inside", stacklevel=2)
    leaves = {name for name, module in model.named_modules() if name and _is_leaf(module)}
    leaves = {name for name in leaves if _REPARAMETRISED not in name.split(".")}
    if layers == "all":
        return points(leaves) or ends("output")
    if hasattr(model, "probe_points"):
        return ends("input") + _listed(modules, seen, list(model.probe_points)) + ends("output")
    activations = {name for name in leaves if _is_activation(modules[name])}
    rules = (points(set(_repeated_blocks(model))), points(activations), points(leaves))
    return ends("input") + next(filter(None, rules), []) + ends("output")


def norms_by_batch(model: nn.Module, batch_statistics: object = None) -> list[_BatchNorm]:
    """The BatchNorm layers that are to normalise by batch statistics: all, none, or (None) those that never saw data.

    A layer never saw data if its count of batches is 0 and its buffers are the 0 and 1 of its start, or if it
    has no buffers. ValueError for False and a layer without buffers, which has nothing else to normalise by.

    >>> [norm.num_features for norm in norms_by_batch(nn.Sequential(nn.BatchNorm2d(3)))]
    [3]
    """
    if batch_statistics not in (None, True, False):
        raise ValueError(f"batch_statistics must be True, False or None, not {batch_statistics!r}")
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if batch_statistics:
        return norms
    if batch_statistics is None:
        return [norm for norm in norms if _never_saw_data(norm)]
    if any(norm.running_mean is None for norm in norms):
        raise ValueError(
            "the model has a BatchNorm layer without running statistics, whose output depends on the batch: "
            "pass batch_statistics=True"
        )
    return []


def _never_saw_data(norm: _BatchNorm) -> bool:
    if norm.running_mean is None or norm.running_var is None:
        return True
    fresh = norm.num_batches_tracked is not None and int(norm.num_batches_tracked) == 0
    return fresh and not norm.running_mean.any() and bool((norm.running_var == 1).all())


@contextmanager
def undisturbed(
    model: nn.Module, device: torch.device | None = None, *, batch_statistics: object = False, sets: int = 1
) -> Iterator[SimpleNamespace]:
    """Evaluation mode without gradients; on exit the modes, buffers and the random state are what they were.

    The BatchNorm layers that `norms_by_batch` names normalise each of the `sets` equal parts of their input by
    that part's own mean and variance, and their running buffers are neither read nor written; what is yielded
    has that number as `sets`, which can be changed. Compiled parts of
    the model run as they were written, since compiled code passes hooks by.
    """
    modes = [(module, module.training) for module in model.modules()]
    norms, parts = norms_by_batch(model, batch_statistics), SimpleNamespace(sets=sets)
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=cuda), ExitStack() as stack:
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.callback(_restore, [(module._buffers, name, buffer, buffer.clone()) for module in model.modules()
                                  for name, buffer in module._buffers.items() if buffer is not None])  # fmt: skip
        for module, mode in modes:
            stack.callback(setattr, module, "training", mode)
        try:
            model.eval()
        except NotImplementedError:  # of programs of torch.export
            raise ValueError(
                "model is the graph of an exported program, which has no evaluation mode; "
                "torch.export.unflatten(program) has"
            ) from None
        for norm in norms:
            stack.enter_context(_normalising_by_part(norm, parts))
        yield parts


def _restore(buffers: list[tuple]) -> None:
    """Put back what (owner, name, tensor, copy of its values) says, writing only what has changed."""
    for owner, name, tensor, values in buffers:
        if not torch.equal(tensor, values):
            tensor.copy_(values)
        if owner.get(name) is not tensor:
            owner[name] = tensor


@contextmanager
def _normalising_by_part(norm: _BatchNorm, parts: SimpleNamespace) -> Iterator[None]:
    """Call `norm` for each part, without buffers: in evaluation mode it then uses its input's statistics."""
    buffers = {name: norm._buffers[name] for name in ("running_mean", "running_var")}
    own = norm.__dict__.get("forward")
    forward = norm.forward
    norm.forward = lambda inputs: torch.cat([forward(part) for part in inputs.chunk(parts.sets)])
    norm._buffers.update(dict.fromkeys(buffers))
    try:
        yield
    finally:
        norm._buffers.update(buffers)
        if own is None:
            del norm.forward
        else:
            norm.forward = own


def table_index(chosen: list[Layer]) -> dict[str, list]:
    """layer, depth k and relative_depth k/K of the rows: the input is 0, the others are 1 ... K in order."""
    first = 0 if chosen and chosen[0].key == ("input", 0) else 1
    depths = range(first, first + len(chosen))
    deepest = max(depths[-1], 1)
    return {
        "layer": [layer.label for layer in chosen],
        "depth": list(depths),
        "relative_depth": [depth / deepest for depth in depths],
    }


def _listed(modules: dict[str, nn.Module], seen: list[Layer], names: list) -> list[Layer]:
    if not names:
        raise ValueError("layers must name at least one module")
    labels = {layer.label for layer in seen if layer.call > 0}
    for name in names:
        if name not in _ENDS and name not in labels and not (name and name in modules):
            close = difflib.get_close_matches(str(name), [*_ENDS, *filter(None, modules)], n=3)
            hint = f"did you mean {' or '.join(map(repr, close))}?" if close else "see model.named_modules()"
            raise ValueError(f"layers: the model has no module {name!r}; {hint}")
    found = [
        layer
        for layer in seen
        if (layer.name in names or layer.label in names) and (layer.call == 0) == (layer.name in _ENDS)
    ]
    for name in names:
        if not any(name in (layer.name, layer.label) for layer in found):
            inside = isinstance(modules.get(name), torch.jit.ScriptModule)
            why = (
                "lies in a TorchScript program, of which only the ends can be read"
                if inside
                else ("does not run in the model's forward pass")
            )
            raise ValueError(f"layers: module {name!r} {why}")
    for layer in found:
        if layer.size is None:
            raise ValueError(f"layers: {layer.label!r} returns no float tensor with one row an image")
    return found


def _repeated_blocks(model: nn.Module) -> Iterator[str]:
    """Names of the outermost modules with children whose class, other than a container, occurs twice."""
    classes = Counter(type(module) for module in model.modules())

    def descend(module, prefix):
        for name, child in module.named_children():
            plain = type(child) in _CONTAINERS or classes[type(child)] < 2
            if name == _REPARAMETRISED:
                continue
            if plain:
                yield from descend(child, f"{prefix}{name}.")
            elif not _is_leaf(child):
                yield f"{prefix}{name}"

    return descend(model, "")


def _is_leaf(module: nn.Module) -> bool:
    return all(name == _REPARAMETRISED for name, _ in module.named_children())


def _is_activation(module: nn.Module) -> bool:
    return type(module).__module__ == "torch.nn.modules.activation" and not isinstance(module, nn.MultiheadAttention)
