"""Claims of paper B on ImageNet (Fig. 3 centre, and Fig. 14's statement), held against networks that others trained.

The measures take the rows of the study `imagenet`. These networks were trained in full, so that the intervals are those
that the same statements have for the zoo at scale `paper`; they were set before the runs that they judge.
"""

import numpy as np

from relbook.claims import Claim, Interval
from relbook.studies.zoo import tables

LARGER = ("laptop", "gpu", "paper")
NONE = "neither networks trained on ImageNet nor its pictures come with the package"


def _mean_R(rows, stage, cut=3):
    """Geometric mean of R at the output over the networks, B's statistic; NaN where there are none."""
    table = tables.outputs(rows, stage=stage, cut=cut)
    return float(np.exp(np.log(table["R"]).mean())) if len(table) else float("nan")


def _least_lowered(rows):
    """R trained over R at initialisation at the cut-off where training lowers it least."""
    cuts = [int(cut) for cut in rows["cut"].dropna().unique()]
    return max(
        (_mean_R(rows, "trained", cut) / _mean_R(rows, "init", cut) for cut in cuts), default=float("nan")
    )


def _rank_with_depth(rows):
    """Mean over the trained networks of Spearman's correlation between R_k and depth."""
    table = tables.profiles(rows)
    table = table[table["stage"] == "trained"]
    ranks = [net["depth"].rank().corr(net["R"].rank()) for _, net in table.groupby("architecture")]
    return float(np.mean(ranks)) if ranks else float("nan")


def _initial_factor(rows):
    """The factor by which R_k at initialisation differs from 1, median over all layers."""
    table = tables.profiles(rows)
    table = table[table["stage"] == "init"]
    return float(np.exp(np.log(table["R"]).abs().median())) if len(table) else float("nan")


def _claim(id_, figure, statement, paper_value, quantity, measure, interval):
    return Claim(id=id_, paper="petrini2021", figure=figure, statement=statement, paper_value=paper_value,
                 quantity=quantity, measure=measure, tolerance=dict.fromkeys(LARGER, interval), study="imagenet",
                 not_testable=NONE)  # fmt: skip


IMAGENET = [
    _claim(
        "b-3-imagenet-init", "fig-b-3-centre",
        "On ImageNet, too, networks start as sensitive to diffeomorphisms as to noise.",
        "R ≈ 1", "R at initialisation, c = 3, geometric mean over the EfficientNet-Lites",
        lambda rows: _mean_R(rows, "init"), Interval(0.6, 1.15),
    ),
    _claim(
        "b-3-imagenet-lowered", "fig-b-3-centre",
        "Training on ImageNet makes networks relatively stable.",
        "R falls from 1 to between 0.01 and 0.1", "R trained over R at initialisation, c = 3, EfficientNet-Lites",
        lambda rows: _mean_R(rows, "trained") / _mean_R(rows, "init"), Interval(high=0.2),
    ),
    _claim(
        "b-3-imagenet-decades", "fig-b-3-centre",
        "After training on ImageNet, R lies between 0.01 and 0.1.",
        "0.01 to 0.1", "R trained, c = 3, geometric mean over the EfficientNet-Lites",
        lambda rows: _mean_R(rows, "trained"), Interval(0.01, 0.1),
    ),
    _claim(
        "b-3-imagenet-every-cut", "fig-b-3-centre",
        "Training on ImageNet lowers R at every cut-off of the deformations.",
        "c = 3, 10 and 30", "R trained over R at initialisation where training lowers it least",
        _least_lowered, Interval(high=0.8),
    ),
    _claim(
        "b-14-imagenet-init-flat", "fig-b-14-imagenet",
        "At initialisation R is near 1 at every depth, also for pictures of ImageNet's size.",
        "R ≈ 1 at all depths", "typical factor between R_k and 1 at initialisation, EfficientNet-Lites",
        _initial_factor, Interval(1.0, 1.5),
    ),
    _claim(
        "b-14-imagenet-falls-with-depth", "fig-b-14-imagenet",
        "In networks trained on ImageNet R falls from layer to layer.",
        "monotone decrease", "rank correlation of R_k with depth, mean over the EfficientNet-Lites",
        _rank_with_depth, Interval(-1.0, -0.7),
    ),
]  # fmt: skip
