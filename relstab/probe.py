"""`relstab probe`: D, G and R of somebody's network on somebody's images, from the command line.

The same in Python, three lines::

    model = probe.load_model("torchvision:resnet18", weights="resnet18.pt")
    images = probe.load_images("pictures/", size=224, normalisation="imagenet")
    table = relstab.sensitivity(model, images)

Weights are read as tensors only: a file that needs to run code is refused. Code is imported from nowhere but
the module that the user names.
"""

import importlib
import json
import sys
from pathlib import Path

from relstab.normalisations import NORMALISATIONS

PROGRAMS = (".pt", ".pt2", ".pth", ".ts")  # files that hold a whole network

MODEL_HELP = (
    "relstab:NAME (this package), torchvision:NAME, timm:NAME, package.module:factory (imported from where Python finds it "
    "or the current folder), or a TorchScript (.pt) or torch.export (.pt2) file"
)


def add_arguments(sub):
    """Declare the options of `relstab probe`."""
    sub.add_argument("--model", required=True, metavar="SPEC", help=MODEL_HELP)
    sub.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an argument of the factory, e.g. num_classes=10",
    )
    sub.add_argument(
        "--weights",
        metavar="FILE",
        help="state dict (.pt, .pth, .safetensors); without it the net is probed at initialisation",
    )
    sub.add_argument(
        "--images",
        required=True,
        metavar="PATH",
        help="a folder of images, an .npz, or the name of a data set",
    )
    sub.add_argument(
        "--count", type=int, default=500, metavar="N", help="how many images (default: 500, as in the papers)"
    )
    sub.add_argument("--size", type=int, metavar="N", help="resize and crop images to N x N pixels")
    sub.add_argument(
        "--normalise",
        default="none",
        choices=sorted(NORMALISATIONS),
        help="what the net expects of pixels in [0, 1] (default: none)",
    )
    sub.add_argument(
        "--layers",
        default="blocks",
        help="blocks, output, all, or module names with commas (default: blocks)",
    )
    sub.add_argument(
        "--displacement",
        type=float,
        default=1.0,
        metavar="PX",
        help="typical displacement δ in pixels (default: 1)",
    )
    sub.add_argument("--cut", type=int, default=3, help="cut-off c of the deformations (default: 3)")
    sub.add_argument(
        "--statistic", default="mean", help="mean, median or component_median, the authors' (default: mean)"
    )
    sub.add_argument(
        "--batch-size",
        type=int,
        default=64,
        metavar="N",
        help="images at a time; bounds the memory (default: 64)",
    )
    sub.add_argument(
        "--seed", type=int, default=0, help="of the deformations, the noise and an untrained net (default: 0)"
    )
    sub.add_argument("--device", default="cpu", help="cpu, cuda, mps (default: cpu)")
    sub.add_argument(
        "--save",
        action="append",
        default=[],
        metavar="FILE",
        help="write the table (.csv, .json) or the profile (.png, .svg, .pdf)",
    )


def command(options):
    """Run `relstab probe`; print the table and write what was asked for."""
    import torch
    from tqdm import tqdm

    from relstab.probes.sensitivity import sensitivity

    for target in map(Path, options.save):
        if target.suffix not in (".csv", ".json", ".png", ".svg", ".pdf"):
            raise ValueError(f"--save is {str(target)!r}; it must end in .csv, .json, .png, .svg or .pdf")
        if not target.absolute().parent.is_dir():
            raise FileNotFoundError(f"--save is {str(target)!r}, but its folder does not exist")
    if options.count < 2:
        raise ValueError(f"--count is {options.count}; at least 2 images are needed")
    model = load_model(
        options.model, weights=options.weights, options=parse_options(options.option), seed=options.seed
    )
    images = load_images(
        options.images, size=options.size, normalisation=options.normalise, count=options.count
    )
    fresh = options.weights is None and Path(options.model).suffix not in PROGRAMS
    layers = options.layers if options.layers in ("blocks", "output", "all") else options.layers.split(",")
    with tqdm(total=len(images), unit="image", file=sys.stderr, disable=not sys.stderr.isatty()) as bar:
        table = sensitivity(
            model.to(options.device), images, layers=layers, displacement=options.displacement, cut=options.cut,
            statistic=options.statistic, batch_size=options.batch_size, batch_statistics=fresh and has_batch_norm(model),
            generator=torch.Generator().manual_seed(options.seed), progress=bar.update,
        )  # fmt: skip
    print(table.to_string(index=False, float_format=lambda value: f"{value:.4g}"))
    state = "at initialisation" if fresh else "with the weights given"
    if fresh and has_batch_norm(model):
        state += ", BatchNorm by batch statistics"
    print(
        f"{options.model} {state}; {len(images)} images of {images.shape[-2]} x {images.shape[-1]} pixels, displacement "
        f"{options.displacement:g} px, cut {options.cut}, statistic {options.statistic}, seed {options.seed}"
    )
    for target in map(Path, options.save):
        save(table, target)
        print(f"wrote {target}")


def save(table, target):
    """Write the table as .csv or .json, or its depth profile as a picture."""
    if target.suffix == ".csv":
        table.to_csv(target, index=False)
    elif target.suffix == ".json":
        table.to_json(target, orient="records", indent=1)
    else:
        from relstab.figures.profile import depth_profile

        depth_profile(table).savefig(target)


def parse_options(pairs):
    """['num_classes=10', 'name=x'] -> {'num_classes': 10, 'name': 'x'}; values are JSON where they parse, else text."""
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (equals and key.isidentifier()):
            raise ValueError(f"--option is {pair!r}; it must read KEY=VALUE")
        try:
            options[key] = json.loads(value)
        except json.JSONDecodeError:
            options[key] = value
    return options


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
        return torch.export.load(path).module()
    try:
        return torch.jit.load(str(path), map_location="cpu")
    except RuntimeError:
        raise ValueError(
            f"--model is the file {str(path)!r}, which is no TorchScript program; a state dict goes to --weights"
        ) from None


def load_state(path):
    """A state dict from a file, tensors only; wrappers such as 'state_dict' and the prefix 'module.' are taken off."""
    import pickle

    import torch

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"--weights is {str(path)!r}, which does not exist")
    if path.suffix == ".safetensors":
        try:
            from safetensors.torch import load_file
        except ModuleNotFoundError:
            raise ValueError(
                f"--weights is {str(path)!r}, but the package safetensors is not installed"
            ) from None
        return load_file(path)
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
    return {name.removeprefix("module."): value for name, value in state.items()}


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
