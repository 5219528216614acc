"""Somebody's network, weights and images, from names and files: what `relstab probe` takes.

    model = probe.load_model("torchvision:resnet18", weights="resnet18.pt")
    images = probe.load_images("pictures/", size=224, normalisation="imagenet")

Weights are read as tensors only: a file that needs to run code is refused. Code is imported from nowhere but
the module that the user names; a whole program (TorchScript, torch.export) is code by nature.
"""

import importlib
import sys
import warnings
from pathlib import Path

from relstab.data.normalisations import NORMALISATIONS

PROGRAMS = (".pt", ".pt2", ".pth", ".ts")  # files that hold a whole network
MODEL_HELP = (
    "relstab:NAME (this package), torchvision:NAME, timm:NAME, package.module:factory (imported from where Python finds it "
    "or the current folder), or a TorchScript (.pt) or torch.export (.pt2) file"
)


def load_model(spec, *, weights=None, options=None, seed=0):
    """The network that `spec` names (see `relstab probe --help`), with weights if given, in eval mode.

    Raises ValueError for a spec, weights or options that do not fit, FileNotFoundError for a file that is not there.
    """
    import torch

    options = options or {}
    if Path(spec).suffix in PROGRAMS:
        if weights or options:
            raise ValueError(
                f"--model is the file {spec!r}, which holds its weights: --weights and --option do not go with it"
            )
        return _load_program(Path(spec)).eval()
    factory = _factory(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = factory(**options)
        except TypeError as error:
            raise ValueError(f"--model {spec} does not take the options {options}: {error}") from None
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"--model {spec} gives a {type(model).__name__}, not a torch.nn.Module")
    if weights:
        state = load_state(weights)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            lines = str(error).splitlines()
            raise ValueError(
                f"--weights {weights} do not fit the model {spec}: {(lines[1] if len(lines) > 1 else lines[0]).strip()[:300]}"
            ) from None
    return model.eval()


def _factory(spec):
    kind, colon, name = spec.partition(":")
    if not (colon and name):
        raise ValueError(f"--model is {spec!r}; it must be {MODEL_HELP}")
    if kind == "relstab":
        from relstab import models

        return lambda **options: models.build(name, **options)
    if kind == "torchvision":
        from relstab.vision import models as zoo

        if name not in zoo.list_models():
            raise ValueError(f"--model is {spec!r}, but torchvision has no model of this name")
        return lambda **options: zoo.get_model(name, weights=None, **options)
    if kind == "timm":
        try:
            import timm
        except ModuleNotFoundError:
            raise ValueError(f"--model is {spec!r}, but the package timm is not installed") from None
        if name not in timm.list_models():
            raise ValueError(f"--model is {spec!r}, but timm has no model of this name")
        return lambda **options: timm.create_model(name, pretrained=False, **options)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.import_module(kind)
        for part in name.split("."):
            found = getattr(found, part)
    except ModuleNotFoundError as error:
        raise ValueError(f"--model is {spec!r}, but importing it fails: {error}") from None
    except AttributeError:
        raise ValueError(f"--model is {spec!r}, but the module {kind!r} has no {name!r}") from None
    return found


def _load_program(path):
    import torch

    if not path.is_file():
        raise FileNotFoundError(f"--model is the file {str(path)!r}, which does not exist")
    if path.suffix == ".pt2":
        return _load_exported(path)
    try:
        return torch.jit.load(str(path), map_location="cpu")
    except RuntimeError:
        raise ValueError(
            f"--model is the file {str(path)!r}, which is no TorchScript program; a state dict goes to --weights"
        ) from None


def _load_exported(path):
    """A torch.export program with its modules, whose names are those of the network that was exported."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch about its own reader
            program = torch.export.load(path)
            model = torch.export.unflatten(program)
    except Exception as error:  # of many kinds: zip, JSON, schema, operators
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ValueError(
            f"--model is the file {str(path)!r}, which cannot be read as a torch.export program: {reason}"
        ) from None
    inputs = program.graph_signature.user_inputs
    shapes = [
        node.meta["val"].shape for node in program.graph.nodes if node.name in inputs and "val" in node.meta
    ]
    if shapes and shapes[0] and isinstance(shapes[0][0], int):
        raise ValueError(
            f"--model is the file {str(path)!r}, exported for batches of {shapes[0][0]} only; export it with a free "
            'batch axis: torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))'
        )
    return model


def load_state(path):
    """A state dict from a file, tensors only; wrappers such as 'state_dict' and the prefix 'module.' are taken off."""
    import pickle

    import torch

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"--weights is {str(path)!r}, which does not exist")
    if path.suffix == ".safetensors":
        return _strip(_read_safetensors(path))
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"--weights is {str(path)!r}, which would have to run code to load; save a plain state dict instead"
        ) from None
    except (RuntimeError, EOFError) as error:
        raise ValueError(
            f"--weights is {str(path)!r}, which cannot be read: {(str(error).splitlines() or ['it ends too early'])[0][:200]}"
        ) from None
    for wrapper in ("state_dict", "model", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not (isinstance(state, dict) and all(isinstance(value, torch.Tensor) for value in state.values())):
        raise ValueError(f"--weights is {str(path)!r}, which holds no state dict (names to tensors)")
    return _strip(state)


def _strip(state):
    """Names without the prefix that data-parallel training leaves."""
    return {name.removeprefix("module."): value for name, value in state.items()}


def _read_safetensors(path):
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ModuleNotFoundError:
        raise ValueError(
            f"--weights is {str(path)!r}, but the package safetensors is not installed"
        ) from None
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"--weights is {str(path)!r}, which cannot be read: {error}") from None


def load_images(source, *, size=None, normalisation="none", count=None):
    """Images [batch, channel, height, width], float32, normalised: from a folder, an .npz, or a data set's test images."""
    import torch

    from relstab import data

    if normalisation not in NORMALISATIONS:
        raise ValueError(
            f"normalisation is {normalisation!r}; it must be one of {', '.join(sorted(NORMALISATIONS))}"
        )
    path = Path(source)
    if source in data.names():
        split = data.load(source).test
    elif path.suffix == ".npz":
        split = data.load_npz(path)
    elif path.exists():
        split = data.load_folder(path, size=size, count=count)
    else:
        raise FileNotFoundError(
            f"--images is {str(source)!r}: no such file or folder, nor one of the data sets {', '.join(data.names())}"
        )
    pixels = split.images[:count]
    pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
    if size is not None and pixels.shape[-2:] != (size, size):
        pixels = torch.nn.functional.interpolate(
            pixels, (size, size), mode="bilinear", antialias=True, align_corners=False
        )
    mean, std = (torch.tensor(value)[:, None, None] for value in NORMALISATIONS[normalisation])
    if len(mean) not in (1, pixels.shape[1]):
        raise ValueError(
            f"--normalise is {normalisation!r}, for {len(mean)} channels; the images have {pixels.shape[1]}"
        )
    return (pixels - mean) / std


def has_batch_norm(model):
    """Whether some module normalises by batch statistics when it trains."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return any(isinstance(module, _BatchNorm) for module in model.modules())
