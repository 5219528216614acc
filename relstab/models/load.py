"""Somebody's network, weights and images, from names and files: what `relstab probe` takes. ::

    model = probe.load_model("torchvision:resnet18", weights="resnet18.pt")
    images = probe.load_images("pictures/", size=224, normalisation="imagenet")

Weights are read as tensors only: a file that needs to run code is refused. Code is imported from nowhere but
the module that the user names; a whole program (TorchScript, torch.export) is code by nature.
"""

import importlib
import inspect
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from relstab.data.normalisations import NORMALISATIONS
from relstab.extras import extra

PROGRAMS = (".pt", ".pt2", ".pth", ".ts")  # files that hold a whole network
LARGEST_SIDE = 8192  # of images, in pixels
MODEL_HELP = (
    "relstab:NAME (this package), torchvision:NAME, timm:NAME, package.module:factory (imported from "
    "where Python finds it "
    "or the current folder), or a TorchScript (.pt) or torch.export (.pt2) file"
)
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_PREFIXES = ("module.", "_orig_mod.")  # of data-parallel training, of torch.compile


def load_model(
    spec: str,
    *,
    weights: str | Path | None = None,
    pretrained: bool = False,
    options: Mapping | None = None,
    seed: int = 0,
) -> nn.Module:
    """The network that `spec` names (see `relstab probe --help`), in evaluation mode.

    Args:
        spec: "relstab:lenet", "torchvision:resnet18", "timm:resnet10t", "package.module:factory" or a file.
        weights: a file with a state dict (`load_state`); None leaves the network at initialisation.
        pretrained: take the weights that torchvision or timm publish; these alone use the network.
        options: arguments of the factory, by name.
        seed: of an untrained network.

    Raises:
        ValueError: a spec, weights or options that do not fit, or code of the user's that fails.
        FileNotFoundError: a file that is not there.
        ModuleNotFoundError: timm or safetensors are asked for and not installed.
    """
    import torch

    options = dict(options or {})
    if pretrained and weights is not None:
        raise ValueError(f"--weights is {str(weights)!r} beside --pretrained; only one of them can give the weights")
    if Path(spec).suffix in PROGRAMS:
        if weights is not None or options or pretrained:
            raise ValueError(
                f"--model is the file {spec!r}, which holds its weights: --weights, --pretrained and --option do not "
                "go with it"
            )
        return _load_program(Path(spec)).eval()
    state = None if weights is None else load_state(weights)
    factory = _factory(spec, pretrained, seed)
    if isinstance(factory, torch.nn.Module) and not options:
        return _filled(factory, state, spec, weights).eval()
    if not callable(factory):
        raise ValueError(f"--model {spec} is a {type(factory).__name__}, no factory of a torch.nn.Module")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = factory(**options)
        except TypeError as error:
            raise ValueError(f"--model {spec} does not take the options {options}: {told(error)}") from error
        except ModuleNotFoundError:
            raise
        except Exception as error:  # the user's code
            if pretrained and (isinstance(error, OSError) or "invalid hash" in str(error)):
                raise ValueError(
                    f"--pretrained cannot fetch the weights of {spec} ({told(error)}); where there is no "
                    "network, give a "
                    "file of them to --weights"
                ) from error
            raise ValueError(f"--model {spec} cannot be built with the options {options}: {told(error)}") from error
    if not isinstance(model, torch.nn.Module):
        raise ValueError(f"--model {spec} gives a {type(model).__name__}, not a torch.nn.Module")
    return _filled(model, state, spec, weights).eval()


def told(error: BaseException) -> str:
    """An exception in one line: what kind it is, unless it is a sentence of ours, and its first line.

    >>> told(KeyError("x")), told(ValueError("size is 0; it must be at least 1"))
    ("KeyError: 'x'", 'size is 0; it must be at least 1')
    """
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:300]
    kind = type(error).__name__
    return first if first and isinstance(error, ValueError) else f"{kind}: {first}" if first else kind


def _filled(model: nn.Module, state: Mapping | None, spec: str, weights: str | Path | None) -> nn.Module:
    """The model with the state dict, if there is one; ValueError where they do not fit."""
    if state is None:
        return model
    own = model.state_dict()
    for name, value in state.items():
        if name in own and _kind(own[name]) != _kind(value):
            raise ValueError(
                f"--weights {weights} do not fit the model {spec}: {name!r} is {value.dtype}, not {own[name].dtype} "
                "(quantised, or of another network)"
            )
    try:
        model.load_state_dict(state)
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise ValueError(
            f"--weights {weights} do not fit the model {spec}: {lines[min(1, len(lines) - 1)].strip()[:300]}"
        ) from error
    return model


def _kind(tensor: Tensor) -> str:
    return "complex" if tensor.is_complex() else "real" if tensor.is_floating_point() else "whole"


def _factory(spec: str, pretrained: bool, seed: int) -> Callable:
    kind, colon, name = spec.partition(":")
    if not (colon and kind and name):
        raise ValueError(f"--model is {spec!r}; it must be {MODEL_HELP}")
    if kind == "torchvision":
        return _torchvision(spec, name, pretrained)
    if kind == "timm":
        from relstab import vision  # noqa: F401 - timm imports torchvision, which may need its missing operators

        timm = extra("timm", f"--model {spec}")
        if name not in timm.list_models():
            raise ValueError(f"--model is {spec!r}, but timm has no model of this name")
        return lambda **options: timm.create_model(name, pretrained=pretrained, **options)
    if pretrained:
        raise ValueError(f"--pretrained goes with torchvision:NAME and timm:NAME, not with --model {spec}")
    if kind == "relstab":
        import torch

        from relstab import models

        return lambda **options: models.build(name, generator=torch.Generator().manual_seed(seed), **options)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.import_module(kind)
    except Exception as error:  # whatever is in the user's module; `.` and `..` are no modules
        raise ValueError(f"--model is {spec!r}, but importing {kind!r} fails: {told(error)}") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"--model is {spec!r}, but the module {kind!r} has no {name!r}")
        found = getattr(found, part)
    return found


def _torchvision(spec: str, name: str, pretrained: bool) -> Callable[..., nn.Module]:
    from relstab.vision import models as zoo

    if name not in zoo.list_models():
        raise ValueError(f"--model is {spec!r}, but torchvision has no model of this name")
    fixed = {"weights": "DEFAULT" if pretrained else None}
    if not pretrained and "weights_backbone" in inspect.signature(zoo.get_model_builder(name)).parameters:
        fixed["weights_backbone"] = None  # its default fetches trained weights
    return lambda **options: zoo.get_model(name, **fixed | options)


def expected_normalisation(spec: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation by channel of pixels in [0, 1] that published weights of a network expect.

    Raises ValueError where torchvision or timm do not say.
    """
    kind, _, name = spec.partition(":")
    try:
        if kind == "torchvision":
            from relstab.vision import models as zoo

            said = zoo.get_model_weights(name).DEFAULT.transforms()
            return tuple(said.mean), tuple(said.std)
        said = extra("timm", f"--model {spec}").get_pretrained_cfg(name)
        return tuple(said.mean), tuple(said.std)
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f"--normalise must be given: nothing says what the published weights of {spec} expect "
            f"({', '.join(sorted(NORMALISATIONS))})"
        ) from error


def _load_program(path: Path) -> nn.Module:
    import torch

    if not path.is_file():
        raise FileNotFoundError(f"--model is the file {str(path)!r}, which {_missing(path)}")
    if path.suffix == ".pt2":
        return _load_exported(path)
    try:
        return torch.jit.load(str(path), map_location="cpu")
    except RuntimeError:
        raise ValueError(
            f"--model is the file {str(path)!r}, which is no TorchScript program; a state dict goes to --weights"
        ) from None


def _load_exported(path: Path) -> nn.Module:
    """A torch.export program with its modules, whose names are those of the network that was exported."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch about its own reader
            program = torch.export.load(path)
            model = torch.export.unflatten(program)
    except Exception as error:  # of many kinds: zip, JSON, schema, operators
        raise ValueError(
            f"--model is the file {str(path)!r}, which cannot be read as a torch.export program: {told(error)[:200]}"
        ) from None
    inputs = program.graph_signature.user_inputs
    shapes = [node.meta["val"].shape for node in program.graph.nodes if node.name in inputs and "val" in node.meta]
    if shapes and shapes[0] and isinstance(shapes[0][0], int):
        raise ValueError(
            f"--model is the file {str(path)!r}, exported for batches of {shapes[0][0]} only; export it with a free "
            'batch axis: torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim("batch")},))'
        )
    return model


def load_state(path: str | Path) -> dict:
    """A state dict from a file, tensors only, by parameter names without the prefixes that wrappers leave.

    A .safetensors file, or whatever `torch.save` wrote: a state dict, or one under 'state_dict', 'model' or
    'model_state_dict'. The checksums in the file are compared before it is read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an empty name, a file of another kind, one that is damaged or would have to run code, names that
            are no text or meet when their prefixes go, values that are not finite.
    """
    import torch

    if not str(path):
        raise ValueError("--weights is '', which names no file; leave it out to probe the network at initialisation")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"--weights is {str(path)!r}, which {_missing(path)}")
    state = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not (isinstance(state, dict) and state and all(isinstance(value, torch.Tensor) for value in state.values())):
        raise ValueError(f"--weights is {str(path)!r}, which holds no state dict (names to tensors)")
    if odd := next((name for name in state if not isinstance(name, str)), None):
        raise ValueError(f"--weights is {str(path)!r}, whose state dict has the name {odd!r}, which is no text")
    for name, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value.float()).all()):
            raise ValueError(f"--weights is {str(path)!r}, in which {name!r} holds NaN or infinite values")
    return _strip(state, path)


def _missing(path: Path) -> str:
    return "is no file" if path.exists() else "does not exist"


def _read_torch(path: Path) -> Any:
    """What `torch.save` wrote, tensors and plain containers only."""
    import pickle

    import torch

    if kind := _text(path):
        raise ValueError(f"--weights is {str(path)!r}, which is {kind} and no file of weights")
    try:
        if zipfile.is_zipfile(path):  # torch.load compares none of the checksums in the file
            with zipfile.ZipFile(path) as archive:
                bad = archive.testzip()
            if bad is not None:
                raise ValueError(f"{bad} in it does not have the checksum that the file states")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about protocols and storages of old files
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "Unsupported class" in str(error):
            raise ValueError(
                f"--weights is {str(path)!r}, which would have to run code to load; save a plain state dict instead"
            ) from None
        raise ValueError(f"--weights is {str(path)!r}, which cannot be read: it is no file of torch.save") from None
    except Exception as error:  # of many kinds: zip, struct, key, index, end of file
        raise ValueError(f"--weights is {str(path)!r}, which cannot be read (damaged?): {told(error)[:200]}") from None


def _text(path: Path) -> str | None:
    """What kind of text a file is, or None if it is none."""
    with open(path, "rb") as file:
        start = file.read(512)
    try:
        text = start.decode("utf-8", errors="strict" if len(start) < 512 else "ignore").lstrip("\ufeff \t\r\n")
    except UnicodeDecodeError:
        return None
    if not start:
        return "empty"
    if any(ord(character) < 32 and character not in "\t\r\n" for character in text) or len(text) < 3:
        return None
    if text.startswith("version https://git-lfs"):
        return "a pointer of Git LFS (fetch the file itself: git lfs pull)"
    return "HTML or XML" if text.startswith("<") else "JSON" if text[0] in "{[" else "text"


def _strip(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Names without the prefixes that wrappers leave."""
    stripped = {}
    for name, value in state.items():
        plain = name
        while (prefix := next((known for known in _PREFIXES if plain.startswith(known)), None)) is not None:
            plain = plain.removeprefix(prefix)
        if plain in stripped:
            raise ValueError(
                f"--weights is {str(path)!r}, in which {plain!r} comes twice, with the prefix "
                f"{prefix or _PREFIXES[0]!r} "
                "and without"
            )
        stripped[plain] = value
    return stripped


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    reader, errors = (extra("safetensors.torch", f"--weights {path}"), extra("safetensors", f"--weights {path}"))
    try:
        return reader.load_file(path)
    except (errors.SafetensorError, OSError) as error:
        raise ValueError(f"--weights is {str(path)!r}, which cannot be read: {told(error)}") from None


def load_images(
    source: str | Path, *, size: int | None = None, normalisation: str | Sequence = "none", count: int | None = None
) -> Float[Tensor, "image channel height width"]:
    """Images [image, channel, height, width], float32, normalised: of a folder, an .npz, or a data set's test images.

    Args:
        source: a path, or the name of a data set (`relstab.data.names`).
        size: resize (pictures: and crop) to size x size pixels.
        normalisation: a name of `relstab.data.normalisations`, or (mean, standard deviation) by channel.
        count: how many; of a folder evenly spaced over the sorted names, else the first.

    Raises:
        ValueError: an empty source, a size out of range, a normalisation for other channels, damaged files.
        FileNotFoundError: no such file, folder or data set.
    """
    import torch

    from relstab import data

    if isinstance(normalisation, str) and normalisation not in NORMALISATIONS:
        raise ValueError(f"normalisation is {normalisation!r}; it must be one of {', '.join(sorted(NORMALISATIONS))}")
    if not str(source):
        raise ValueError("--images is '', which names no folder, file or data set")
    if size is not None and not 1 <= size <= LARGEST_SIDE:
        raise ValueError(f"--size is {size}; it must be from 1 to {LARGEST_SIDE} pixels")
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
    pair = NORMALISATIONS[normalisation] if isinstance(normalisation, str) else normalisation
    mean, std = (torch.tensor(value)[:, None, None] for value in pair)
    if len(mean) not in (1, pixels.shape[1]):
        raise ValueError(
            f"--normalise is {normalisation!r}, for {len(mean)} channels; the images have {pixels.shape[1]}"
        )
    return (pixels - mean) / std
