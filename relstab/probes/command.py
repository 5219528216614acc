"""`relstab probe`: D, G and R of somebody's network on somebody's images, from the command line.

The same in Python, three lines::

    model = probe.load_model("torchvision:resnet18", weights="resnet18.pt")
    images = probe.load_images("pictures/", size=224, normalisation="imagenet")
    table = relstab.sensitivity(model, images)

Beside the table stands where a network with this R lies among the book's networks on CIFAR-10, whose errors
follow ε ≈ 0.2 √R (B Fig. 5). For other data that is a comparison, and no prediction of an error.
"""

import json
import sys
from pathlib import Path

from relstab.data.normalisations import NORMALISATIONS
from relstab.models.load import MODEL_HELP, PROGRAMS, has_batch_norm, load_images, load_model, load_state

__all__ = ["add_arguments", "command", "load_images", "load_model", "load_state"]

TABLES, PICTURES = (".csv", ".json"), (".png", ".svg", ".pdf")


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
        "--error", type=float, metavar="E", help="the net's test error between 0 and 1, for the --curve"
    )
    sub.add_argument(
        "--save",
        action="append",
        default=[],
        metavar="FILE",
        help="write the table (.csv, .json) or the profile (.png, .svg, .pdf)",
    )
    sub.add_argument(
        "--curve",
        metavar="FILE",
        help="draw the net among the book's networks on CIFAR-10 (.png, .svg, .pdf)",
    )


def command(options):
    """Run `relstab probe`; print the table and write what was asked for."""
    import torch
    from tqdm import tqdm

    from relstab.probes.sensitivity import sensitivity

    _check(options)
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
    if "output" in set(table["layer"]):
        R = float(table.loc[table["layer"] == "output", "R"].iloc[0])
        _place(R, options, trained=not fresh)


def _check(options):
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
    if options.error is not None and not 0 < options.error <= 1:
        raise ValueError(f"--error is {options.error:g}; it must be above 0 and at most 1")
    if (
        options.curve
        and options.layers not in ("blocks", "output")
        and "output" not in options.layers.split(",")
    ):
        raise ValueError(f"--curve shows R at the output, which --layers {options.layers!r} does not measure")


def _place(R, options, *, trained):
    """Say, and draw if asked for, where a network with this R stands among the book's networks on CIFAR-10."""
    from relbook.studies.zoo import tables as zoo_tables

    nets = book_networks(options.displacement, options.cut, options.statistic)
    if len(nets) < 3:
        print(
            "the book has no curve of error against R for these settings (its networks are measured at displacement 1, "
            "cut 3, in a source checkout)"
        )
        return
    if not trained or not R > 0:
        print("no error goes with this R: the curve of the book is one of trained networks")
    else:
        error, factor = zoo_tables.predicted(nets, R)
        inside = nets["R"].min() <= R <= nets["R"].max()
        print(
            f"R = {R:.3g} at the output; the {len(nets)} networks of the book on CIFAR-10 (scale {nets.attrs['scale']}) have "
            f"an error of {error:.2g}, give or take a factor {factor:.2g}, at this R{'' if inside else ' (extrapolated)'}; "
            "valid for CIFAR-10 only, for other data a comparison"
        )
    if options.curve:
        from relbook.studies.zoo.curve import among_networks

        among_networks(nets, R, error=options.error, name=options.model).savefig(options.curve)
        print(f"wrote {options.curve}")


def book_networks(displacement=1.0, cut=3, statistic="mean"):
    """One line a network of B Fig. 5 as this book measured it: R and error on CIFAR-10, from the published rows.

    Empty for settings that the networks were not measured at, and outside a source checkout, which has no rows.
    `attrs["scale"]` names the scale.
    """
    from relbook import registry
    from relbook.studies.zoo import tables as zoo_tables

    probe = {"displacement": displacement, "cut": cut, "statistic": statistic}
    rows = registry.shown("zoo", "laptop", needs=lambda rows: _on_cifar(zoo_tables.compared(rows, **probe)))
    table = _on_cifar(zoo_tables.compared(rows, **probe)) if len(rows) else rows
    table.attrs["scale"] = rows.attrs["scale"]
    return table


def _on_cifar(table):
    return table[table["dataset"].str.startswith("cifar10")].reset_index(drop=True)


def save(table, target):
    """Write the table as .csv or .json, or its depth profile as a picture."""
    if target.suffix == ".csv":
        table.to_csv(target, index=False)
    elif target.suffix == ".json":
        table.to_json(target, orient="records", indent=1)
    else:
        from relbook.drawing.profile import depth_profile

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
