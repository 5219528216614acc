"""Which layers a probe reads, and reading them: forward hooks that hand each output on and keep nothing.

B measures D, G and R at a network's output, A at every depth k/K (A Figs. 3 and 7), C at each activation. The
rules for `layers` shared by all probes:

    "output"      the network's output
    "blocks"      the input, the network's blocks, the output (see `choose`)
    "all"         every module without children that runs
    [names]       modules of `model.named_modules()`, rows of an earlier table, and "input", "output"

Rows come in the order in which the modules run. A module that runs several times in one forward pass gives a
row each time: "relu", "relu:2", ... A module that returns a tuple or a dict counts with its first float
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
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_ENDS = ("input", "output")
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class Layer:
    """One reading point: the `call`-th run of module `name` in a pass; call 0 is an end of the network."""

    name: str
    call: int
    size: int | None = None  # components an image, None if the output is no batch of features

    @property
    def label(self):
        return self.name if self.call <= 1 else f"{self.name}:{self.call}"

    @property
    def key(self):
        return self.name, self.call


def features(output, batch):
    """The first float tensor in a module's output whose first axis holds `batch` inputs, or None.

    >>> features((None, torch.zeros(4, 3)), 4).shape, features(torch.zeros(3, 3), 4)
    (torch.Size([4, 3]), None)
    """
    if isinstance(output, Tensor):
        numbers = output.is_floating_point() and output.ndim > 0 and output.numel() > 0
        return output if numbers and len(output) % batch == 0 else None
    if isinstance(output, Mapping):
        output = output.values()
    elif not isinstance(output, (tuple, list)):
        return None
    return next((found for part in output if (found := features(part, batch)) is not None), None)


def sweep(model, inputs, visit, names):
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


def trace(model, inputs):
    """Every reading point of `model`, in order of occurrence, from a forward pass of a few inputs."""
    seen = []

    def visit(key, output):
        found = features(output, len(inputs))
        seen.append(Layer(*key, size=None if found is None else found.numel() // len(inputs)))

    named = model.named_modules(remove_duplicate=False)
    # A TorchScript program runs without its Python modules: hooks inside it would not be called.
    names = [name for name, module in named if name and not isinstance(module, torch.jit.ScriptModule)]
    sweep(model, inputs, visit, names)
    return seen


def choose(model, seen, layers):
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
        raise ValueError(
            "model must return a float tensor, or a tuple or dict of them, with one row an image"
        )
    if layers == "output":
        return ends("output")
    leaves = {name for name, module in model.named_modules() if name and not any(module.children())}
    if layers == "all":
        return points(leaves) or ends("output")
    if hasattr(model, "probe_points"):
        return ends("input") + _listed(modules, seen, list(model.probe_points)) + ends("output")
    activations = {name for name in leaves if _is_activation(modules[name])}
    rules = (points(set(_repeated_blocks(model))), points(activations), points(leaves))
    return ends("input") + next(filter(None, rules), []) + ends("output")


@contextmanager
def undisturbed(model, device=None, *, batch_statistics=False, sets=1):
    """Evaluation mode without gradients; on exit the modes, buffers and the random state are what they were.

    With `batch_statistics`, each BatchNorm layer normalises each of the `sets` equal parts of its input by
    that part's own mean and variance, and its running buffers are neither read nor written.
    """
    modes = [(module, module.training) for module in model.modules()]
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not batch_statistics and any(norm.running_mean is None for norm in norms):
        raise ValueError(
            "the model has a BatchNorm layer without running statistics, whose output depends on the batch: "
            "pass batch_statistics=True"
        )
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.no_grad(), torch.random.fork_rng(devices=cuda), ExitStack() as stack:
        for module, mode in modes:
            stack.callback(setattr, module, "training", mode)
        model.eval()
        for norm in norms if batch_statistics else ():
            stack.enter_context(_normalising_by_part(norm, sets))
        yield


@contextmanager
def _normalising_by_part(norm, sets):
    """Call `norm` for each part, without buffers: in evaluation mode it then uses its input's statistics."""
    buffers = {name: norm._buffers[name] for name in ("running_mean", "running_var")}
    own = norm.__dict__.get("forward")
    forward = norm.forward
    norm.forward = lambda inputs: torch.cat([forward(part) for part in inputs.chunk(sets)])
    norm._buffers.update(dict.fromkeys(buffers))
    try:
        yield
    finally:
        norm._buffers.update(buffers)
        if own is None:
            del norm.forward
        else:
            norm.forward = own


def table_index(chosen):
    """layer, depth k and relative_depth k/K of the rows: the input is 0, the others are 1 ... K in order."""
    first = 0 if chosen and chosen[0].key == ("input", 0) else 1
    depths = range(first, first + len(chosen))
    deepest = max(depths[-1], 1)
    return {
        "layer": [layer.label for layer in chosen],
        "depth": list(depths),
        "relative_depth": [depth / deepest for depth in depths],
    }


def _listed(modules, seen, names):
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
            why = "lies in a TorchScript program, of which only the ends can be read" if inside else (
                "does not run in the model's forward pass")  # fmt: skip
            raise ValueError(f"layers: module {name!r} {why}")
    for layer in found:
        if layer.size is None:
            raise ValueError(f"layers: {layer.label!r} returns no float tensor with one row an image")
    return found


def _repeated_blocks(model):
    """Names of the outermost modules with children whose class, other than a container, occurs twice."""
    classes = Counter(type(module) for module in model.modules())

    def descend(module, prefix):
        for name, child in module.named_children():
            plain = type(child) in _CONTAINERS or classes[type(child)] < 2
            if plain:
                yield from descend(child, f"{prefix}{name}.")
            elif any(child.children()):
                yield f"{prefix}{name}"

    return descend(model, "")


def _is_activation(module):
    return type(module).__module__ == "torch.nn.modules.activation" and not isinstance(
        module, nn.MultiheadAttention
    )
