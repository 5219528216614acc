"""`relstab probe`: D, G and R of somebody's networks on somebody's images, from the command line.

The same in Python, three lines::

    model = probe.load_model("torchvision:resnet18", weights="resnet18.pt")
    images = probe.load_images("pictures/", size=224, normalisation="imagenet")
    table = relstab.sensitivity(model, images)

Beside the table stands where a network with this R lies among the book's networks on CIFAR-10, whose errors
follow ε ≈ 0.2 √R (B Fig. 5). For other data that is a comparison, and no prediction of an error.
"""

import argparse
import contextlib
import io
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from relstab.data.normalisations import NORMALISATIONS
from relstab.models.load import MODEL_HELP, PROGRAMS, expected_normalisation, load_images, load_model, load_state, told

__all__ = ["add_arguments", "command", "load_images", "load_model", "load_state"]

TABLES, PICTURES = (".csv", ".json"), (".png", ".svg", ".pdf")
DEVICES = "auto, cpu, cuda, cuda:N or mps"


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Declare the options of `relstab probe`."""
    many = {"action": "append", "default": []}
    for name, metavar, text, settings in (
        ("--model", "SPEC", f"{MODEL_HELP}; several are measured on the same images, deformations and noise",
         many | {"required": True}),
        ("--option", "KEY=VALUE", "an argument of the factory, e.g. num_classes=10", many),
        ("--weights", "FILE", "state dict (.pt, .pth, .safetensors), one for each --model, in their order; without it "
         "the net is probed at initialisation", many),
        ("--images", "PATH", "a folder of images (taken as stored, whatever EXIF or transparency say, of an "
         "animation the first), an .npz, or the name of a data set", {"required": True}),
        ("--count", "N", "how many images (default: 500, as in the papers)", {"type": int, "default": 500}),
        ("--size", "N", "resize and crop images to N x N pixels", {"type": int}),
        ("--layers", "NAMES", "blocks, output, all, or module names with commas (default: blocks)",
         {"default": "blocks"}),
        ("--displacement", "PX", "typical displacement δ in pixels (default: 1)", {"type": float, "default": 1.0}),
        ("--cut", "C", "cut-off c of the deformations (default: 3)", {"type": int, "default": 3}),
        ("--statistic", "NAME", "mean, median or component_median, the authors' (default: mean)", {"default": "mean"}),
        ("--draws", "N", "deformations and noises for each image (default: 1)", {"type": int, "default": 1}),
        ("--batch-size", "N", "images at a time; bounds the memory (default: 32)", {"type": int, "default": 32}),
        ("--seed", "N", "of the deformations, the noise and an untrained net (default: 0)",
         {"type": int, "default": 0}),
        ("--device", "NAME", f"{DEVICES}; auto is the first there is of cuda, mps, cpu (default: auto)",
         {"default": "auto"}),
        ("--error", "E", "the net's test error between 0 and 1, for the --curve, one for each --model",
         many | {"type": float}),
        ("--save", "FILE", "write the table (.csv, .json) or the profile (.png, .svg, .pdf)", many),
        ("--curve", "FILE", "draw the nets among the book's networks on CIFAR-10 (.png, .svg, .pdf)", {}),
    ):  # fmt: skip
        sub.add_argument(name, metavar=metavar, help=text, **settings)
    sub.add_argument(
        "--pretrained",
        action="store_true",
        help="take the weights that torchvision or timm publish; the only option that uses the network",
    )
    sub.add_argument(
        "--normalise",
        choices=sorted(NORMALISATIONS),
        help="what the net expects of pixels in [0, 1] (default: none; with --pretrained what its weights expect)",
    )


@dataclass(frozen=True)
class Probed:
    """One network of the command: its name in tables and pictures, where its weights are from, what was found."""

    name: str
    state: str
    trained: bool  # or possibly so
    shape: tuple[int, ...]  # of the images
    table: object

    @property
    def R(self) -> float | None:
        """R at the output, or None where that was not measured."""
        found = self.table.loc[self.table["layer"] == "output", "R"]
        return float(found.iloc[0]) if len(found) else None


def command(options: argparse.Namespace) -> None:
    """Run `relstab probe`; print the tables and write what was asked for."""
    _check(options)
    arguments, device = parse_options(options.option), _device(options.device)
    every = zip(options.model, _each("--weights", options.weights, options.model), _names(options), strict=True)
    found, loaded = [], {}
    for spec, weights, name in every:
        found.append(_probed(spec, weights, name, arguments, loaded, device, options))
        _show(found[-1], options)
    if len(found) > 1 and found[0].R is not None:
        ends = _joined(found).query("layer == 'output'").drop(columns=["layer", "depth", "relative_depth"])
        print(f"At the output\n{_text(ends)}")
    for target in map(Path, options.save):
        save({one.name: one.table for one in found}, target)
        print(f"wrote {target}")
    _place(found, options)


def _probed(
    spec: str, weights: str | None, name: str, arguments: dict, loaded: dict, device: Any, options: argparse.Namespace
) -> Probed:
    """Build a network and measure it; `loaded` keeps images by their normalisation."""
    from relstab.probes.sensitivity import FoldingWarning, sensitivity

    program = Path(spec).suffix in PROGRAMS
    model = load_model(
        spec, weights=weights, pretrained=options.pretrained and not program, options=arguments, seed=options.seed
    )
    state, trained = _state(spec, weights, options.pretrained)
    wanted = options.normalise or ("none" if program or not options.pretrained else expected_normalisation(spec))
    if wanted not in loaded:
        loaded[wanted] = load_images(options.images, size=options.size, normalisation=wanted, count=options.count)
    images = loaded[wanted]
    _check_deformations(options, images)
    try:
        with _bar(len(images)) as progress, warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", FoldingWarning)
            table = sensitivity(
                model.to(device), images, layers=_layers(options), displacement=options.displacement, cut=options.cut,
                statistic=options.statistic, draws=options.draws, batch_size=options.batch_size, seed=options.seed,
                progress=progress,
            )  # fmt: skip
    except ValueError:
        raise
    except Exception as error:  # of the model, on images that it may not be made for
        shape = " x ".join(map(str, images.shape[1:]))
        hint = "; a smaller --batch-size needs less" if "memory" in f"{type(error).__name__} {error}".lower() else ""
        raise ValueError(
            f"--model {spec} fails on these images of {shape} (channels x height x width): {told(error)}{hint}"
        ) from error
    for warning in said:
        print(f"relstab: {warning.message}", file=sys.stderr)
    state += ", BatchNorm by batch statistics" if table.attrs.get("batch_statistics") else ""
    return Probed(name, state, trained, tuple(images.shape), table)


def _state(spec: str, weights: str | None, pretrained: bool) -> tuple[str, bool]:
    """Where the weights are from in words, and whether they may be trained ones."""
    if Path(spec).suffix in PROGRAMS:
        return "with the weights in the file", True
    if weights is not None:
        return "with the weights given", True
    if pretrained:
        return "with its published weights", True
    if spec.partition(":")[0] in ("relstab", "torchvision", "timm"):
        return "at initialisation", False
    return "as its factory makes it", True


def _show(one: Probed, options: argparse.Namespace) -> None:
    print(_text(one.table))
    print(
        f"{one.name} {one.state}; {one.shape[0]} images of {one.shape[-2]} x {one.shape[-1]} pixels, "
        f"displacement {options.displacement:g} px, cut {options.cut}, statistic {options.statistic}, "
        f"draws {options.draws}, seed {options.seed}"
    )


def _text(table: Any) -> str:
    return table.to_string(index=False, float_format=lambda value: f"{value:.4g}")


def _joined(found: list[Probed]) -> Any:
    """The tables below each other, with the name of the network in front; of one network its table."""
    import pandas as pd

    if len(found) == 1:
        return found[0].table
    tables = [one.table.assign(model=one.name) for one in found]
    whole = pd.concat(tables, ignore_index=True)
    return whole[["model", *whole.columns.drop("model")]]


def _layers(options: argparse.Namespace) -> str | list[str]:
    return options.layers if options.layers in ("blocks", "output", "all") else options.layers.split(",")


def _each(option: str, values: list, models: list[str]) -> list:
    """A value for each model, None where none was given; ValueError for another number of values."""
    if values and len(values) != len(models):
        raise ValueError(f"{option} is given {len(values)} times for {len(models)} --model; it goes with each or none")
    return values or [None] * len(models)


def _names(options: argparse.Namespace) -> list[str]:
    """A name for each model: its specification, with its weights where that names several."""
    names = []
    for index, spec in enumerate(options.model):
        twice = options.model.count(spec) > 1
        name = f"{spec} ({Path(options.weights[index]).name})" if twice and options.weights else spec
        names.append(name if name not in names else f"{name} {index + 1}")
    return names


@contextlib.contextmanager
def _bar(count: int) -> Iterator[Callable[[int], object] | None]:
    """What to call with the number of further images; a bar on a terminal, where tqdm is installed."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        yield None
        return
    with tqdm(total=count, unit="image", file=sys.stderr) as bar:
        yield bar.update


def _check(options: argparse.Namespace) -> None:
    """ValueError or FileNotFoundError for what can be seen to be wrong before anything is read."""
    for option in ("images", "layers", "curve", "device"):
        if getattr(options, option) == "":
            raise ValueError(f"--{option} is '', an empty name")
    if options.pretrained and options.weights:
        raise ValueError("--pretrained and --weights are both given; only one of them can give the weights")
    _each("--weights", options.weights, options.model)
    _each("--error", options.error, options.model)
    targets = [("--save", Path(name), TABLES + PICTURES) for name in options.save]
    targets += [("--curve", Path(options.curve), PICTURES)] if options.curve else []
    for option, target, suffixes in targets:
        if target.suffix not in suffixes:
            raise ValueError(
                f"{option} is {str(target)!r}; it must end in {', '.join(suffixes[:-1])} or {suffixes[-1]}"
            )
        if not target.absolute().parent.is_dir():
            raise FileNotFoundError(f"{option} is {str(target)!r}, but its folder does not exist")
    if options.count < 2:
        raise ValueError(f"--count is {options.count}; at least 2 images are needed")
    for name, low, high in (("draws", 1, 10**6), ("batch_size", 1, 10**6), ("seed", 0, 2**63 - 1)):
        if not low <= getattr(options, name) <= high:
            raise ValueError(f"--{name.replace('_', '-')} is {getattr(options, name)}; it must be from {low} to {high}")
    for error in options.error:
        if not 0 < error <= 1:
            raise ValueError(f"--error is {error:g}; it must be above 0 and at most 1")
    if any(target.suffix in PICTURES for _, target, _ in targets):
        from relstab.extras import extra

        extra("matplotlib", "a picture")
    if options.curve:
        _check_curve(options)


def _check_curve(options: argparse.Namespace) -> None:
    from relstab.probes import picture

    if options.layers not in ("blocks", "output") and "output" not in options.layers.split(","):
        raise ValueError(f"--curve shows R at the output, which --layers {options.layers!r} does not measure")
    measured = picture.settings()
    if (options.displacement, options.cut, options.statistic) not in measured:
        known = "; ".join(f"{displacement:g} px, cut {cut}, {statistic}" for displacement, cut, statistic in measured)
        raise ValueError(
            f"--curve has nothing to compare with at displacement {options.displacement:g} px, cut "
            f"{options.cut}, statistic "
            f"{options.statistic}; the networks of the book are measured at: {known}"
        )


def _check_deformations(options: argparse.Namespace, images: Any) -> None:
    side = min(images.shape[-2:])
    if not 0 < options.displacement <= side:
        raise ValueError(
            f"--displacement is {options.displacement:g}; it must be above 0 and at most {side}, the side of "
            "the images in "
            "pixels"
        )
    if not 2 <= options.cut <= max(side, 2):
        raise ValueError(f"--cut is {options.cut}; it must be from 2 to {side}, the side of the images in pixels")


def _device(name: str) -> Any:
    """The torch device that a name means; ValueError for one that is not there."""
    import torch

    mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device is {name!r}; it must be {DEVICES}") from None
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(mps)}.get(device.type)
    if there is None:
        raise ValueError(f"--device is {name!r}; it must be {DEVICES}")
    if not there:
        raise ValueError(f"--device is {name!r}, but torch {torch.__version__} finds no such device here")
    if (device.index or 0) >= there:
        raise ValueError(f"--device is {name!r}, but there are {there} of its kind, counted from 0")
    return device


def _place(found: list[Probed], options: argparse.Namespace) -> None:
    """Say, and draw if asked for, where the networks' R stands among the book's networks on CIFAR-10."""
    from relstab.probes import picture

    found = [one for one in found if one.R is not None]
    nets = picture.networks(options.displacement, options.cut, options.statistic)
    if not found:
        return
    if nets.empty:
        print(
            "the book has no curve of error against R for these settings (its networks are measured at "
            "displacement 1, cut 3)"
        )
        return
    for one in found:
        whose = f"{one.name}: " if len(found) > 1 else ""
        if not one.trained or not one.R > 0:
            print(f"{whose}no error goes with this R: the curve of the book is one of trained networks")
            continue
        error, factor = picture.predicted(nets, one.R)
        inside = nets["R"].min() <= one.R <= nets["R"].max()
        print(
            f"{whose}R = {one.R:.3g} at the output; the {len(nets)} networks of the book on CIFAR-10 (scale "
            f"{nets.scale}) have an error of {error:.2g}, give or take a factor {factor:.2g}, at this "
            f"R{'' if inside else ' (extrapolated)'}; valid for CIFAR-10 only, for other data a comparison"
        )
    if options.curve:
        if none := [one.name for one in found if not one.R > 0]:
            raise ValueError(f"--curve has no place for {none[0]}, whose R at the output is not above 0")
        errors = dict(zip(_names(options), options.error, strict=True)) if options.error else None
        drawn = picture.among_networks(nets, {one.name: one.R for one in found}, errors=errors)
        _draw("--curve", drawn, Path(options.curve))
        print(f"wrote {options.curve}")


def save(tables: Mapping[str, Any], target: Path) -> None:
    """Write tables by network as .csv or .json, or their depth profiles as a picture; the old file or the new one."""
    from relstab.probes import picture

    if target.suffix in PICTURES:
        titles = {name if len(tables) > 1 else "": table for name, table in tables.items()}
        _draw("--save", picture.depth_profiles(titles), target)
        return
    whole = _joined([Probed(name, "", False, (), table) for name, table in tables.items()])
    text = whole.to_csv(index=False) if target.suffix == ".csv" else whole.to_json(orient="records", indent=1)
    _write("--save", target, text.encode())


def _draw(option: str, figure: Any, target: Path) -> None:
    content = io.BytesIO()
    figure.savefig(content, format=target.suffix[1:])
    _write(option, target, content.getvalue())


def _write(option: str, target: Path, content: bytes) -> None:
    from relstab.store import atomic

    try:
        atomic.write(target, content)
    except OSError as error:
        raise OSError(f"{option} is {str(target)!r}, which cannot be written: {error.strerror or error}") from error


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
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
