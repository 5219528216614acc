"""Claims of paper B on images, Secs. 3 to 5: what R does in training, with data, with depth, and to the error.

The measures take the rows of the study `zoo`. Tolerances were set before the runs that they judge.
"""

import numpy as np

from relbook.claims import Claim, Interval, everywhere
from relbook.studies.zoo import tables

MODERN = ("resnet", "efficientnet", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")
SMALL = "three thousand training images and networks of an eighth of the width: too small for what the claim is about"
NARROW = "networks of a quarter of the width, trained for 20 epochs; the paper's are full and trained for 250"


def _of(table, names):
    return table[table["architecture"].str.startswith(names)]


def _mean_R(rows, names, stage, datasets=None):
    """Geometric mean of R at the output over networks trained on a full set; NaN where there are none."""
    table = _of(tables.on_full_set(tables.outputs(rows, stage=stage)), names)
    if datasets is not None:
        table = table[table["dataset"].str.contains(datasets)]
    return float(np.exp(np.log(table["R"]).mean())) if len(table) else float("nan")


def _growth(names, datasets=None):
    """R trained over R at initialisation."""
    return lambda rows: _mean_R(rows, names, "trained", datasets) / _mean_R(rows, names, "init", datasets)


def _size_slope(rows):
    """Slope of log R against log P for ResNets at P ≥ 2,000, data sets pooled with an offset each."""
    table = _of(tables.networks(rows), ("resnet",))
    table = table[(table["train_size"] >= 2000) & (table["noise"] == 0)]
    x, y = np.log(table["train_size"]), np.log(table["R"])
    groups = [table[name] for name in ("dataset", "width")]
    x, y = x - x.groupby(groups).transform("mean"), y - y.groupby(groups).transform("mean")
    return float((x * y).sum() / (x * x).sum()) if (x * x).sum() > 0 else float("nan")


def _interpolation_ratio(rows):
    """R with Gaussian over R with bilinear interpolation at the first δ > 1, c = 3: geometric mean over networks."""
    table = tables.measured(rows)
    table = table[(table["layer"] == "output") & (table["stage"] == "trained") & (table["shuffle"] == -1)
                  & (table["statistic"] == "component_median") & (table["cut"] == 3) & (table["displacement"] > 1)]  # fmt: skip
    if table.empty:
        return float("nan")
    table = table[table["displacement"] == table["displacement"].min()]
    logs = np.log(table["R"]).groupby(table["interpolation"]).mean()
    return float(np.exp(logs["gaussian"] - logs["bilinear"]))


def _rank_with_depth(rows):
    """Mean over modern trained networks of Spearman's correlation between R_k and depth."""
    table = _of(tables.profiles(rows), MODERN)
    table = tables.on_full_set(table[table["stage"] == "trained"].assign(seed=0))
    ranks = [
        net["depth"].rank().corr(net["R"].rank())
        for _, net in table.groupby(["dataset", "architecture", "width", "epochs"])
    ]
    return float(np.mean(ranks)) if ranks else float("nan")


def _largest_initial_factor(rows):
    """The factor by which R_k at initialisation differs from 1, median over all layers of the modern networks."""
    table = _of(tables.profiles(rows), MODERN)
    table = table[table["stage"] == "init"]
    return float(np.exp(np.log(table["R"]).abs().median())) if len(table) else float("nan")


def _augmentation_factor(rows):
    """R trained with crops and flips over R without, same networks."""
    table = tables.networks(rows)
    table = table[(table["train_size"] == 0) & (table["noise"] == 0) & (table["recipe"] != "published")]
    by = ["dataset", "architecture", "width", "epochs", "seed"]
    both = table.pivot_table(index=by, columns="augment", values="R")
    if not {True, False} <= set(both):
        return float("nan")
    ratio = np.log(both[True] / both[False]).dropna()
    return float(np.exp(ratio.mean())) if len(ratio) else float("nan")


def _claim(id_, figure, statement, paper_value, quantity, measure, tolerance, not_testable=""):
    return Claim(id=id_, paper="petrini2021", figure=figure, statement=statement, paper_value=paper_value,
                 quantity=quantity, measure=measure, tolerance=tolerance, study="zoo", not_testable=not_testable)  # fmt: skip


SECTION_3 = [
    _claim(
        "b-3-init-unity", "fig-b-3-centre",
        "At initialisation modern networks are as sensitive to diffeomorphisms as to noise.",
        "R ≈ 1", "R at initialisation, geometric mean over modern networks",
        lambda rows: _mean_R(rows, MODERN, "init"), everywhere(Interval(0.6, 1.15)),
    ),
    _claim(
        "b-3-training-lowers-R", "fig-b-3-centre",
        "Training on a full data set makes modern networks relatively stable.",
        "R falls from 1 to between 0.01 and 0.1", "R trained over R at initialisation, modern networks",
        _growth(MODERN), {"laptop": Interval(high=0.8), "gpu": Interval(high=0.4), "paper": Interval(high=0.2)}, SMALL,
    ),
    _claim(
        "b-3-decades", "fig-b-3-centre",
        "After training, R of modern networks lies between 0.01 and 0.1.",
        "0.01 to 0.1", "R trained, geometric mean over modern networks",
        lambda rows: _mean_R(rows, MODERN, "trained"), {"gpu": Interval(0.01, 0.2), "paper": Interval(0.01, 0.1)}, NARROW,
    ),
    _claim(
        "b-3-interpolation", "fig-b-3-left",
        "Once pixels move by more than one, R does not depend on how the image is interpolated.",
        "curves merge at δ ≳ 1", "R with Gaussian over R with bilinear interpolation, first δ above 1",
        _interpolation_ratio, everywhere(Interval(0.8, 1.25)),
    ),
    _claim(
        "b-3-inverse-P", "fig-b-3-right",
        "In a range of training-set sizes R of a ResNet falls roughly as 1/P.",
        "slope −1", "slope of log R against log P, ResNets, P ≥ 2,000",
        _size_slope, dict.fromkeys(("laptop", "gpu", "paper"), Interval(-1.4, -0.6)), SMALL,
    ),
    _claim(
        "b-4-fc-init", "fig-b-4",
        "A fully connected network has R near 1 at initialisation.",
        "R ≈ 1", "R at initialisation, FC-L4, geometric mean over data sets",
        lambda rows: _mean_R(rows, ("fc_l4",), "init"), everywhere(Interval(0.6, 1.15)),
    ),
    _claim(
        "b-4-fc-grows", "fig-b-4",
        "Training does not make a fully connected network relatively stable: R grows.",
        "R > 1 after training", "R trained over R at initialisation, FC-L4", _growth(("fc_l4",)), everywhere(Interval(low=1.0)),
    ),
    _claim(
        "b-4-lenet", "fig-b-4",
        "LeNet stays above 1 on MNIST and Fashion-MNIST after training.",
        "R > 1", "R trained, LeNet, geometric mean over MNIST and Fashion-MNIST",
        lambda rows: _mean_R(rows, ("lenet",), "trained", "mnist"),
        dict.fromkeys(("laptop", "gpu", "paper"), Interval(low=1.0)), SMALL,
    ),
    _claim(
        "b-4-lenet-cifar", "fig-b-4",
        "On CIFAR-10 LeNet becomes slightly insensitive.",
        "R ≈ 0.6", "R trained, LeNet on CIFAR-10",
        lambda rows: _mean_R(rows, ("lenet",), "trained", "cifar"),
        dict.fromkeys(("laptop", "gpu", "paper"), Interval(0.4, 0.9)), SMALL,
    ),
    _claim(
        "b-12-augmentation", "fig-b-12",
        "R depends only mildly on whether the network was trained with crops and flips.",
        "similar R", "R with augmentation over R without, same network",
        _augmentation_factor, dict.fromkeys(("laptop", "gpu", "paper"), Interval(0.5, 2.0)), SMALL,
    ),
    _claim(
        "b-14-init-flat", "fig-b-14",
        "At initialisation R is near 1 at every depth.",
        "R ≈ 1 at all depths", "typical factor between R_k and 1 at initialisation, modern networks",
        _largest_initial_factor, everywhere(Interval(1.0, 1.5)),
    ),
    _claim(
        "b-14-falls-with-depth", "fig-b-14",
        "After training R falls from layer to layer.",
        "monotone decrease", "rank correlation of R_k with depth, mean over modern networks",
        _rank_with_depth, dict.fromkeys(("laptop", "gpu", "paper"), Interval(-1.0, -0.7)), SMALL,
    ),
]  # fmt: skip
