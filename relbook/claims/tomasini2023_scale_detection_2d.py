"""Claims of paper A on deep networks trained on scale detection in two dimensions (Sec. 3: Figs. 4 row 2, 6, 7).

The measures take the rows of the study `scale_detection_2d`. Tolerances were set from trials before the runs.
"""

from functools import partial

import numpy as np

from relbook.claims import Claim, Interval, everywhere
from relbook.studies.scale_detection_2d import tables
from relbook.studies.zoo.tables import QUANTITIES

NAN = float("nan")
ALTERED = 2.0  # a curve that moves by less than this factor is "essentially unaltered"
FEW = "six architectures, of which two stand far from the rest"
SHORT = "narrow networks trained for less than a hundred epochs"


def _correlation(quantity, **options):
    return lambda rows: tables.error_correlation(rows, quantity, **options)


def _margin(rows):
    """How much more strongly the error is correlated with R than with D and, sign reversed, with G."""
    D, G, R = (tables.error_correlation(rows, quantity) for quantity in QUANTITIES)
    return R - max(D, -G)


def _error(pick, *architectures):
    def measure(rows):
        table = tables.compared(rows)
        return pick(table.loc[table["architecture"].isin(architectures), "error"], default=NAN)

    return measure


def _of_profile(function):
    """A number from the trained profile of VGG11bn, the input being line 0."""

    def measure(rows):
        profile = tables.main_profile(rows, "vgg11_bn")
        return float(function(profile)) if len(profile) else NAN

    return measure


def _last_over_first(quantity):
    return _of_profile(lambda profile: profile[quantity].iloc[-1] / profile[quantity].iloc[1])


def _depth_correlation(quantity):
    return _of_profile(lambda profile: profile["depth"].rank().corr(profile[quantity].rank()))


def _shuffled(quantity, pick, layers=None):
    """By which factor, up or down, shuffling changes a sensitivity: `pick` of the |log| over layers."""

    def measure(rows):
        ratios, profile = tables.shuffling(rows), tables.main_profile(rows, "vgg11_bn")
        if ratios.empty or profile.empty:
            return NAN
        ratios = ratios[ratios["width"] == profile["width"].iloc[0]]
        if layers is not None:
            ratios = ratios[ratios["depth"].isin(layers)]
        return float(np.exp(pick(np.log(ratios[quantity]).abs())))

    return measure


def _low_modes(layers):
    """Growth of the filters' constant mode over the mean of the eight others: smallest over the layers."""

    def measure(rows):
        table = tables.growth(rows)
        table = table[(table["epoch"] == table["epoch"].max()) & table["depth"].isin(layers)]
        growth = table.pivot(index="depth", columns="eigenvalue", values="growth")
        if growth.empty:
            return NAN
        others = (2 * growth[1] + growth[2] + 2 * growth[3] + 2 * growth[4] + growth[6]) / 8
        return float((growth[0] / others).min())

    return measure


_claim = partial(Claim, paper="tomasini2023", study="scale_detection_2d")
_UNALTERED = everywhere(Interval(1, ALTERED))

SCALE_DETECTION_2D = [
    _claim(
        id="a-4-row-2-layers-3-4", figure="fig-a-4-row-2",
        statement="Scale detection makes the filters of VGG11bn low-pass in layers 3 and 4.",
        paper_value="low-frequency modes dominate in layers 2 to 4",
        quantity="growth of the constant mode, over the mean of the others, smaller of layers 3 and 4",
        measure=_low_modes((3, 4)), tolerance=everywhere(Interval(low=1.3)),
    ),
    _claim(
        id="a-4-row-2-layer-2", figure="fig-a-4-row-2",
        statement="The same in layer 2.", paper_value="low-frequency modes dominate in layers 2 to 4",
        quantity="growth of the constant mode, over the mean of the others, layer 2",
        measure=_low_modes((2,)), tolerance=dict.fromkeys(("gpu", "paper"), Interval(low=1.3)),
        not_testable=SHORT,
    ),
    _claim(
        id="a-6-D", figure="fig-a-6",
        statement="On scale detection the error grows with the sensitivity D to diffeomorphisms.",
        paper_value="positive correlation", quantity="correlation of log error and log D",
        measure=_correlation("D"), tolerance=everywhere(Interval(0.5, 1)),
    ),
    _claim(
        id="a-6-G", figure="fig-a-6",
        statement="On scale detection the error falls with the sensitivity G to noise.",
        paper_value="negative correlation", quantity="correlation of log error and log G",
        measure=_correlation("G"), tolerance=everywhere(Interval(-1, -0.5)),
    ),
    _claim(
        id="a-6-R", figure="fig-a-6",
        statement="On scale detection the error grows with the relative sensitivity R.",
        paper_value="strong positive correlation", quantity="correlation of log error and log R",
        measure=_correlation("R"),
        tolerance=dict.fromkeys(("laptop", "gpu", "paper"), Interval(0.8, 1)) | {"tiny": Interval(0.7, 1)},
    ),
    _claim(
        id="a-6-R-median", figure="fig-a-6",
        statement="The same with medians over pictures in place of means.",
        paper_value="strong positive correlation", quantity="correlation of log error and log R, medians",
        measure=_correlation("R", statistic="median"),
        tolerance=dict.fromkeys(("laptop", "gpu", "paper"), Interval(0.9, 1)), not_testable=FEW,
    ),
    _claim(
        id="a-6-best", figure="fig-a-6",
        statement="Of the three sensitivities the relative one is correlated best with the error.",
        paper_value="R best",
        quantity="correlation with R, minus the larger of that with D and minus that with G", measure=_margin,
        tolerance={"paper": Interval(low=0.0)},
        not_testable="which is best changed from run to run in trials: the mean of G hangs on a few pictures",
    ),
    _claim(
        id="a-6-good", figure="fig-a-6",
        statement="Networks that are good on images are good at scale detection: VGG with batch norm.",
        paper_value="the best on images tend to be the best", quantity="larger test error of VGG11bn and VGG13bn",
        measure=_error(max, "vgg11_bn", "vgg13_bn"), tolerance=everywhere(Interval(0, 0.02)),
    ),
    _claim(
        id="a-6-poor", figure="fig-a-6",
        statement="Networks that are poor on images are poor at scale detection: fully connected ones.",
        paper_value="the best on images tend to be the best", quantity="smaller test error of FC-L2 and FC-L4",
        measure=_error(min, "fc_l2", "fc_l4"), tolerance=everywhere(Interval(0.35, 0.6)),
    ),
    _claim(
        id="a-7-R-falls", figure="fig-a-7",
        statement="The relative sensitivity falls through the layers of a trained network.",
        paper_value="falls", quantity="R of the output over R of the first layer, VGG11bn",
        measure=_last_over_first("R"), tolerance=everywhere(Interval(0, 0.1)),
    ),
    _claim(
        id="a-7-D-falls", figure="fig-a-7",
        statement="Representations become insensitive to diffeomorphisms through the layers.",
        paper_value="falls", quantity="rank correlation of D and depth, VGG11bn",
        measure=_depth_correlation("D"), tolerance=everywhere(Interval(-1, -0.5)),
    ),
    _claim(
        id="a-7-G-rises", figure="fig-a-7",
        statement="Representations become sensitive to noise through the layers.",
        paper_value="rises", quantity="G of the output over G of the first layer, VGG11bn",
        measure=_last_over_first("G"), tolerance=everywhere(Interval(low=1.0)),
    ),
    _claim(
        id="a-7-first-part", figure="fig-a-7",
        statement="The relative sensitivity is built up mainly in the first part of the network.",
        paper_value="mainly the first part",
        quantity="share of the fall of log R that the first half of the depth does, VGG11bn",
        measure=_of_profile(tables.early_share), tolerance=everywhere(Interval(low=0.5)),
    ),
    _claim(
        id="a-7-shuffled-D", figure="fig-a-7",
        statement="Shuffling the channels leaves the sensitivity to diffeomorphisms essentially unaltered.",
        paper_value="unaltered", quantity="typical factor by which D changes, VGG11bn, all layers",
        measure=_shuffled("D", np.mean), tolerance=_UNALTERED,
    ),
    _claim(
        id="a-7-shuffled-G", figure="fig-a-7",
        statement="Shuffling the channels leaves the sensitivity to noise essentially unaltered.",
        paper_value="unaltered", quantity="typical factor by which G changes, VGG11bn, all layers",
        measure=_shuffled("G", np.mean), tolerance=_UNALTERED,
    ),
    _claim(
        id="a-7-shuffled-R", figure="fig-a-7",
        statement="Shuffling the channels leaves the relative sensitivity essentially unaltered.",
        paper_value="unaltered", quantity="typical factor by which R changes, VGG11bn, all layers",
        measure=_shuffled("R", np.mean), tolerance=_UNALTERED,
    ),
    _claim(
        id="a-7-shuffled-R-early", figure="fig-a-7",
        statement="In the first three layers, shuffling leaves the relative sensitivity unaltered.",
        paper_value="unaltered", quantity="largest factor by which R changes in layers 1 to 3, VGG11bn",
        measure=_shuffled("R", max, (1, 2, 3)), tolerance=everywhere(Interval(1, 1.5)),
    ),
]  # fmt: skip
