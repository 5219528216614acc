"""Claims of paper B on images, Secs. 4 and 5: R against the test error, and what becomes of D and G.

The measures take the rows of the study `zoo`; "networks" are those of `zoo_tables.compared`, which the
figures show: trained on all of CIFAR-10 here, and those that others trained. Networks that diverged or
collapsed are left out. Tolerances were set before the runs that they judge.
"""

from functools import partial

import numpy as np

from relbook.claims import Claim, Interval
from relbook.claims.petrini2021_images import MODERN, SMALL
from relbook.studies.zoo import tables

FEW = (
    "a few small networks trained on three thousand images: in trials of this size the sign of the "
    "correlation depended on which of the networks had been trained far enough"
)
OTHERS = "the networks that others trained are probed on CIFAR-10, which is not part of the smallest scale"
TRANSFER = "this book trains no network on ImageNet, and so none by transfer from it"


def _larger(low):
    """The same lower end at all scales but the smallest, or one per scale."""
    values = low if isinstance(low, dict) else dict.fromkeys(("laptop", "gpu", "paper"), low)
    return {scale: Interval(low=value) for scale, value in values.items()}


def _fitted(name):
    """A field of B's law fitted to the networks; NaN for fewer than three, as for a correlation."""

    def measure(rows):
        table = tables.compared(rows)
        return getattr(tables.law(table["error"], table["R"]), name) if len(table) > 2 else float("nan")

    return measure


def _factors(table):
    """Factor, at least 1, between the error and 0.2 √R: one a network."""
    return np.exp(np.abs(np.log(table["error"] / (0.2 * np.sqrt(table["R"])))))


def _typical_factor(rows):
    return float(_factors(tables.compared(rows)).median())


def _others_factor(rows):
    table = tables.compared(rows)
    return float(_factors(table[table["recipe"] == "published"]).max())


def _advantage(quantity):
    """How much more strongly the error is correlated with R than with D or G."""

    def measure(rows):
        return tables.error_correlation(rows) - abs(tables.error_correlation(rows, quantity))

    return measure


def _weakest(choices):
    """The smallest correlation with R over several choices, a function of the rows; NaN if there are none."""

    def measure(rows):
        return min((tables.error_correlation(rows, **one) for one in choices(rows)), default=float("nan"))

    return measure


def _modern_curves(rows, **probe):
    """The modern networks' curves against P: one table a data set and network."""
    table = tables.learning_sets(rows, **probe)
    table = table[table["architecture"].str.startswith(MODERN)]
    return [curve for _, curve in table.groupby(["dataset", "architecture", "width"])]


def _together(rows):
    """Rank correlation of error and R along a network's curve, mean over modern networks."""
    ranks = [curve["error"].rank().corr(curve["R"].rank()) for curve in _modern_curves(rows)]
    return float(np.mean(ranks)) if ranks else float("nan")


def _change(curves, quantity):
    """What `quantity` is multiplied by from the smallest to the largest training set, a number a curve."""
    return [curve[quantity].iloc[-1] / curve[quantity].iloc[0] for curve in curves]


def _noise_change(rows):
    return min(_change(_modern_curves(rows), "G"), default=float("nan"))


def _relative_change(rows):
    curves = [curve for cut in (3, 5, 15) for curve in _modern_curves(rows, cut=cut)]
    return max(_change(curves, "R"), default=float("nan"))


def _rising(rows):
    """Fraction of the curves along which D grows, over all architectures and data sets."""
    table = tables.learning_sets(rows)
    changes = _change([curve for _, curve in table.groupby(["dataset", "architecture", "width"])], "D")
    return float(np.mean([change > 1 for change in changes])) if changes else float("nan")


_claim = partial(Claim, paper="petrini2021", study="zoo")

SECTION_4 = [
    _claim(
        id="b-5-correlation", figure="fig-b-5",
        statement="Across architectures trained on CIFAR-10 the test error follows the relative stability R.",
        paper_value="correlation 0.97, 15 architectures",
        quantity="correlation of log error and log R over all networks", measure=tables.error_correlation,
        tolerance=_larger({"laptop": 0.8, "gpu": 0.9, "paper": 0.9}), not_testable=FEW,
    ),
    _claim(
        id="b-5-exponent", figure="fig-b-5",
        statement="The error grows as the square root of R.",
        paper_value="exponent 1/2",
        quantity="slope of log error against log R, least squares", measure=_fitted("slope"),
        tolerance={"laptop": Interval(0.3, 0.7), "gpu": Interval(0.35, 0.65), "paper": Interval(0.4, 0.6)},
        not_testable=FEW,
    ),
    _claim(
        id="b-5-prefactor", figure="fig-b-5",
        statement="The prefactor of the law is 0.2.",
        paper_value="ε ≈ 0.2 √R",
        quantity="best a in ε = a √R", measure=_fitted("prefactor"),
        tolerance={"laptop": Interval(0.13, 0.3), "gpu": Interval(0.15, 0.27), "paper": Interval(0.16, 0.25)},
        not_testable=FEW,
    ),
    _claim(
        id="b-5-law", figure="fig-b-5",
        statement="The law ε = 0.2 √R, with nothing fitted, gives the error of a network.",
        paper_value="points close to the line",
        quantity="factor between error and 0.2 √R, median over networks", measure=_typical_factor,
        tolerance={"laptop": Interval(1, 1.5), "gpu": Interval(1, 1.35), "paper": Interval(1, 1.35)},
        not_testable=FEW,
    ),
    _claim(
        id="b-5-others", figure="fig-b-5",
        statement="The law holds for networks that had no part in it: ResNet20 to 56, trained by others.",
        paper_value="ε ≈ 0.2 √R",
        quantity="largest factor between published error and 0.2 √R, networks that others trained",
        measure=_others_factor, tolerance=dict.fromkeys(("laptop", "gpu", "paper"), Interval(1, 2)),
        not_testable=OTHERS,
    ),
    _claim(
        id="b-5-transfer", figure="fig-b-5",
        statement="Training by transfer from ImageNet improves the error and R of EfficientNetB0 together.",
        paper_value="the smallest error and R of the figure",
        quantity="its error and R, over those of the same network trained from scratch",
        measure=lambda rows: float("nan"), tolerance={},
        not_testable=TRANSFER,
    ),
    _claim(
        id="b-15-D-alone", figure="fig-b-15",
        statement="Stability to diffeomorphisms alone says less about the error than relative stability.",
        paper_value="much smaller correlation",
        quantity="correlation of log error with log R minus |correlation| with log D",
        measure=_advantage("D"),
        tolerance=_larger(0.0), not_testable=FEW,
    ),
    _claim(
        id="b-16-G-alone", figure="fig-b-16",
        statement="Stability to noise alone says less about the error than relative stability.",
        paper_value="much smaller correlation",
        quantity="correlation of log error with log R minus |correlation| with log G",
        measure=_advantage("G"),
        tolerance=_larger(0.0), not_testable=FEW,
    ),
    _claim(
        id="b-16-G-sign", figure="fig-b-16",
        statement="Better networks are more sensitive to small perturbations of the image.",
        paper_value="negative correlation of error and G",
        quantity="correlation of log error and log G",
        measure=lambda rows: tables.error_correlation(rows, "G"),
        tolerance=dict.fromkeys(("laptop", "gpu", "paper"), Interval(-1, -0.3)), not_testable=FEW,
    ),
    _claim(
        id="b-17-means", figure="fig-b-17",
        statement="The conclusions do not depend on medians: with means R indicates the error as well.",
        paper_value="the same conclusions",
        quantity="correlation of log error and log R, means over images",
        measure=lambda rows: tables.error_correlation(rows, statistic="mean"),
        tolerance=_larger({"laptop": 0.8, "gpu": 0.9, "paper": 0.9}), not_testable=FEW,
    ),
    _claim(
        id="b-18-together", figure="fig-b-18",
        statement="As the training set grows, the error and R of a modern network fall together.",
        paper_value="shown as a figure, no number",
        quantity="rank correlation of error and R along the curve of P, mean over modern networks",
        measure=_together, tolerance=_larger({"laptop": 0.5, "gpu": 0.7, "paper": 0.7}), not_testable=SMALL,
    ),
    _claim(
        id="b-20-other-data", figure="fig-b-20",
        statement="R indicates the error on other data sets, too.",
        paper_value="robust to the data set",
        quantity="smallest correlation of log error and log R over MNIST and Fashion-MNIST",
        measure=_weakest(lambda rows: [{"datasets": [name]} for name in tables.other_datasets(rows)]),
        tolerance=_larger({"laptop": 0.7, "gpu": 0.8, "paper": 0.8}), not_testable=FEW,
    ),
    _claim(
        id="b-21-cut", figure="fig-b-21",
        statement="R indicates the error whatever the cut-off of the deformations.",
        paper_value="robust to c",
        quantity="smaller correlation of log error and log R for c = 5 and 15",
        measure=_weakest(lambda rows: [{"cut": 5}, {"cut": 15}]),
        tolerance=_larger({"laptop": 0.75, "gpu": 0.85, "paper": 0.85}), not_testable=FEW,
    ),
    _claim(
        id="b-21-displacement", figure="fig-b-21",
        statement="R indicates the error whatever the size of the deformations.",
        paper_value="robust to δ",
        quantity="correlation of log error and log R at the first δ above 1, networks probed there",
        measure=_weakest(lambda rows: [{"displacement": tables.larger_displacement(rows)}]),
        tolerance=_larger({"laptop": 0.7, "gpu": 0.85, "paper": 0.85}), not_testable=FEW,
    ),
]  # fmt: skip

SECTION_5 = [
    _claim(
        id="b-6-noise", figure="fig-b-6",
        statement="With more training images modern networks always become more sensitive to noise.",
        paper_value="G grows with P for every data set and architecture",
        quantity="smallest factor that G gains from the smallest to the largest P, modern networks",
        measure=_noise_change, tolerance=_larger(1.0), not_testable=SMALL,
    ),
    _claim(
        id="b-6-diffeomorphisms", figure="fig-b-6",
        statement="Stability to diffeomorphisms does not behave universally: D grows with P or falls.",
        paper_value="both occur",
        quantity="fraction of curves along which D grows, all networks and data sets",
        measure=_rising, tolerance=dict.fromkeys(("laptop", "gpu", "paper"), Interval(0.01, 0.99)),
        not_testable=SMALL,
    ),
    _claim(
        id="b-6-relative", figure="fig-b-6",
        statement="R of modern networks falls with the number of training images, for every data set and c.",
        paper_value="falls",
        quantity="largest factor from the smallest to the largest P, modern networks, c = 3, 5, 15",
        measure=_relative_change,
        tolerance={"laptop": Interval(high=0.8), "gpu": Interval(high=0.4), "paper": Interval(high=0.4)},
        not_testable=SMALL,
    ),
]  # fmt: skip
