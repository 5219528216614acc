"""All networks of the book in one table, their architectures beside those of Petrini 2021, and how they are trained.

>>> facts("resnet18")
{'layers': 18, 'batch norm': 'yes', 'skips': 'yes', 'parameters': 11173962}
"""

import functools

import pandas as pd
import torch

from relbook import scales
from relbook.drawing.nets import label, net
from relbook.studies.select import UNSHUFFLED, Kind, Stage, Statistic, select
from relbook.studies.zoo import study, tables
from relstab import models
from relstab.train import recipes

WITH_SKIPS = {"resnet", "cifar_resnet", "efficientnet"}
COLUMNS = ["data", "network", "error", "D", "G", "R", "parameters", "layers", "batch norm", "skips", "epochs", "seeds",
           "trained by"]  # fmt: skip
TRAINER = "akamaster/pytorch_resnet_cifar10"  # of the ResNets 20 to 56


@functools.cache
def facts(architecture: str) -> dict:
    """Layers with weights (shortcuts left out), batch normalisation, skips, parameters.

    At full width, for RGB images of 32 pixels.
    """
    family = models.family(architecture)
    with torch.device("meta"):  # nothing is drawn, nothing is stored
        model = models.build(architecture, in_channels=3)
    weights = [name for name, part in model.named_parameters() if part.ndim > 1 and "downsample" not in name]
    return {
        "layers": len(weights),
        "batch norm": "yes" if models.FAMILIES[family].batch_norm else "no",
        "skips": "yes" if family in WITH_SKIPS else "no",
        "parameters": sum(part.numel() for part in model.parameters()),
    }


def architectures(zoo: pd.DataFrame) -> pd.DataFrame:
    """The architectures of Petrini 2021, Fig. 5, and the others of the zoo on CIFAR-10: facts,
    and the widths trained here.

    zoo: rows of the study `zoo`
    """
    found = tables.networks(zoo)
    found = found[found["dataset"].str.startswith("cifar10")]
    lines = []
    for name in dict.fromkeys([*scales.TABLE_1, *sorted(found["architecture"].unique())]):
        widths = sorted(found.loc[found["architecture"] == name, "width"].unique(), reverse=True)
        lines.append(
            {
                "network": label(name),
                **facts(name),
                "in the paper's Fig. 5": "yes" if name in scales.TABLE_1 else "no",
                "width here": ", ".join(net("", width).strip() or "1" for width in widths) or "not trained",
            }
        )
    table = pd.DataFrame(lines)
    return table.assign(parameters=table["parameters"].map("{:,}".format))


def every(zoo: pd.DataFrame, imagenet: pd.DataFrame, public: pd.DataFrame) -> pd.DataFrame:
    """One line a network trained on all images of its data set without noise, seeds averaged, by data set and error.

    zoo, imagenet: rows of these studies; public: `relbook.studies.others.tables.natural` of its rows. D, G and R at
    the output, δ = 1, c = 3, from medians per component.
    """
    parts = [_zoo(zoo), _lite(imagenet), _public(public)]
    table = pd.concat([part for part in parts if len(part)], ignore_index=True).reindex(columns=COLUMNS)
    return table.sort_values(["data", "error"], na_position="first", ignore_index=True)


def _zoo(rows: pd.DataFrame) -> pd.DataFrame:
    fields = ["dataset", "architecture", "width", "epochs", "recipe", "augment"]
    found = tables.without_controls(tables.networks(rows))
    found = found[(found["train_size"] == tables.EVERY_SIZE) & (found["noise"] == 0)]
    size = select(rows, kind=Kind.TRAINING).drop_duplicates(["dataset", "architecture", "width"])
    found = tables.geometric(found, fields)
    found = found.merge(size[["dataset", "architecture", "width", "parameters"]], how="left")
    lines = []
    for line in found.to_dict("records"):
        name, public = line["architecture"], line["recipe"] == "published"
        extra = "" if line["augment"] or public or not line["dataset"].startswith("cifar") else ", no crops and flips"
        lines.append({
            "data": _data(line["dataset"]), "network": net(name, line["width"]) + extra, **facts(name),
            "parameters": int(line["parameters"]), "epochs": None if public else int(line["epochs"]),
            "trained by": TRAINER if public else "this book", "seeds": int(line["n"]),
            **{key: line[key] for key in ("error", "D", "G", "R")},
        })  # fmt: skip
    return pd.DataFrame(lines)


def _lite(rows: pd.DataFrame) -> pd.DataFrame:
    if rows.empty:
        return pd.DataFrame()
    probe = {"statistic": Statistic.COMPONENT_MEDIAN, "cut": 3, "displacement": 1.0}
    found = select(rows, layer="output", stage=Stage.TRAINED, shuffle=UNSHUFFLED, **probe)
    return pd.DataFrame([
        {"data": _data("imagenet"), "network": net(line["architecture"], 1), "batch norm": "yes", "skips": "yes",
         "trained by": "its authors", "seeds": 1, **{key: line[key] for key in "DGR"}}
        for line in found.to_dict("records")
    ])  # fmt: skip


def _public(rows: pd.DataFrame) -> pd.DataFrame:
    found = rows[rows["repository"] != TRAINER] if len(rows) else rows  # those are in the zoo
    batch = {"residual", "dense", "convolutional, batch norm"}
    return pd.DataFrame([
        {"data": _data(line["dataset"]), "network": line["architecture"], "parameters": int(line["parameters"]),
         "batch norm": "yes" if line["family"] in batch else "no",
         "skips": "yes" if line["family"] in {"residual", "dense", "transformer"} else "no",
         "trained by": line["repository"], "seeds": 1, "error": line["test_error"], **{key: line[key] for key in "DGR"}}
        for line in found.to_dict("records")
    ])  # fmt: skip


def _data(dataset: str) -> str:
    return "CIFAR-10" if dataset == "cifar10-lossless" else label(dataset).replace("\n", " ")


def written(table: pd.DataFrame) -> pd.DataFrame:
    """The table of `every` as a page prints it: two significant digits, thousands apart,
    a dash where nothing is known.
    """
    table = table.copy()
    for name in ("error", "D", "G", "R"):
        table[name] = ["–" if pd.isna(value) else f"{value:.2g}" for value in table[name]]
    for name in ("layers", "parameters", "epochs"):
        table[name] = ["–" if pd.isna(value) else f"{int(value):,}" for value in table[name]]
    return table.fillna("–")


# What the papers say of their networks on images; "code": only their published code does.
PAPERS = {
    "networks": (
        "15 architectures, full width",
        "13 architectures, full width",
        "8 convolutions, five ways of downsampling",
    ),
    "data": ("CIFAR-10, MNIST, Fashion-MNIST; ImageNet, pretrained", "CIFAR-10", "CIFAR-10, ImageNet"),
    "loss": ("cross-entropy", "cross-entropy", "not said"),
    "optimiser": (
        "SGD, momentum 0.9; fully connected: Adam (code)",
        "SGD, momentum 0.9; fully connected: Adam",
        "not said",
    ),
    "step size": ("0.1 (code)", "0.1", "not said"),
    "schedule": (
        "cosine over 80 % of the run, fully connected: none (code)",
        "cosine; over 80 % in the code",
        "not said",
    ),
    "weight decay": ("0.0005, all parameters (code)", "0.0005, not on biases (code)", "not said"),
    "epochs": ("250; 350 for Fig. 5 (code)", "250", "not said"),
    "batch": ("128 (code)", "128", "not said"),
    "augmentation": ("crops and flips on CIFAR-10", "crops and flips", "not said"),
    "which epoch": ("the best on the test set (code)", "the best on validation data; code: test set", "not said"),
    "seeds": ("5 for Fig. 5, 16 elsewhere (code)", "5 or more", "5"),
    "probes": (
        "500 test images, δ = 1, c = 3",
        "500 test images, δ = 1, c = 3",
        "128 test images, 3 × 3 points, ± 2 pixels",
    ),
    "statistic": ("median; of each output by itself in the code", "mean", "mean, over a median of pairs"),
}


def settings(scale: str = "laptop") -> pd.DataFrame:
    """A line a setting: the papers' beside that of the networks published here on images.

    scale: of the study `zoo`; what its networks and recipes are is read from the code
    """
    units = [unit for unit in study.configs(scale) if unit.recipe != "published"]
    cnn, dense = recipes.one_cycle("vgg11_bn"), recipes.one_cycle("fc_l4")
    plain = recipes.one_cycle("vgg11")
    whole = [unit for unit in units if unit.train_size == 0 and unit.noise == 0 and unit.dataset.startswith("cifar10")]
    dense_epochs = sorted({unit.epochs for unit in whole if unit.architecture.startswith("fc")})
    epochs = sorted({unit.epochs for unit in whole if not unit.architecture.startswith("fc")})
    widths = sorted({unit.width for unit in whole})
    ours = {
        "networks": f"{len({unit.architecture for unit in units})} architectures, width "
        f"{net('', widths[0]).strip()} to 1",
        "data": "CIFAR-10 as JPEG copy, MNIST, Fashion-MNIST; ImageNet, pretrained",
        "loss": "cross-entropy",
        "optimiser": f"SGD, momentum {cnn.momentum:g} (Nesterov); Adam for fully connected",
        "step size": f"{cnn.lr:g} with batch norm, {plain.lr:g} without; {dense.lr:g} (Adam)",
        "schedule": f"one cycle, {cnn.warmup:.0%} warm-up, linearly to zero",
        "weight decay": f"{cnn.weight_decay:g}, all parameters; {dense.weight_decay:g} (Adam)",
        "epochs": f"{epochs[0]} to {epochs[-1]}; {dense_epochs[0]} to {dense_epochs[-1]} for fully connected",
        "batch": str(cnn.batch_size),
        "augmentation": f"crops (by {cnn.crop}) and flips on CIFAR-10",
        "which epoch": "the last",
        "seeds": f"{len({unit.seed for unit in whole})} at most",
        "probes": f"{max(unit.probes for unit in units)} test images, δ = 1, c = 3",
        "statistic": "as the paper that is compared with",
    }
    names = ("Petrini 2021", "Tomasini 2023", "Ruderman 2018")
    return pd.DataFrame(
        [{"": name, **dict(zip(names, said, strict=True)), "this book": ours[name]} for name, said in PAPERS.items()]
    )
