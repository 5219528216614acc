"""Claims of paper A on images, Secs. 1 and 2: sensitivities and error, and which pooling networks learn.

The measures take the rows of the study `zoo`, with means over images as paper A has them; those of Fig. 2
need no rows. Networks that diverged or collapsed are left out. Tolerances were set before the runs.
"""

from functools import partial

import numpy as np

from relbook.claims import Claim, Interval, everywhere
from relbook.claims.petrini2021_error import FEW
from relbook.claims.petrini2021_images import SMALL
from relbook.studies.zoo import tables

SMALL_NOISE = 30.0  # norm of the noise that is still "small" in A Fig. 1, right: half of an image's own norm
UNANNEALED = (
    "small networks trained for 10 to 20 epochs: the poorest of them have hardly learned to react to "
    "anything, so that the sign of their correlation with D means little"
)
NARROW = "narrow networks trained on three thousand images, two shuffles each"


def _correlation(quantity="R", **options):
    return lambda rows: tables.error_correlation(rows, quantity, statistic="mean", **options)


def _margin(rows):
    """How much more strongly the error is correlated with R than with D and, sign reversed, with G."""
    R, D, G = (_correlation(quantity)(rows) for quantity in "RDG")
    return R - max(D, -G)


def _at_initialisation(rows):
    """Correlation of the trained networks' error with their R before training."""
    return tables.error_correlation(rows, statistic="mean", stage="init")


def _under_noise(quantity, pick):
    """`pick` (min or max) of the correlations of log error with `quantity` over the small levels of noise."""

    def measure(rows):
        table = tables.noise_networks(rows)
        table = table[(table["noise"] > 0) & (table["noise"] <= SMALL_NOISE)]
        found = [tables.correlation(nets[quantity], nets["error"]) for _, nets in table.groupby("noise")]
        return pick(found, default=float("nan"))

    return measure


def _profiles(rows):
    """Profiles of the networks of Fig. 3, one table a network, with stage, relative_depth, D, G, R."""
    table = tables.on_full_set(tables.profiles(tables.shuffled(rows)))
    return [net for _, net in table.groupby(["dataset", "architecture", "width", "epochs"])]


def _fall(quantity):
    """Rank correlation of a trained network's sensitivity with depth, mean over networks."""

    def measure(rows):
        trained = [net[net["stage"] == "trained"] for net in _profiles(rows)]
        ranks = [net["depth"].rank().corr(net[quantity].rank()) for net in trained]
        return float(np.mean(ranks)) if ranks else float("nan")

    return measure


def _excess(low, high):
    """R with shuffled channels over R, geometric mean over networks and relative depths in (low, high]."""

    def measure(rows):
        nets = []
        for net in _profiles(rows):
            logs = np.log(net.pivot(index="relative_depth", columns="stage", values="R"))
            if {"shuffled", "trained"} <= set(logs):
                inside = (logs.index > low) & (logs.index <= high)
                nets.append((logs["shuffled"] - logs["trained"])[inside].mean())
        return float(np.exp(np.mean(nets))) if nets else float("nan")

    return measure


def _parting(rows):
    """The excess in the last third of the networks over the excess in their first half."""
    return _excess(2 / 3, 1)(rows) / _excess(0, 1 / 2)(rows)


def _low_modes(layers):
    """Growth of the filters' constant mode over the mean of the eight others: smallest over the layers."""

    def measure(rows):
        table = tables.filters(rows)
        table = table[(table["epoch"] == table["epoch"].max()) & table["depth"].isin(layers)]
        growth = table.pivot(index="depth", columns="eigenvalue", values="growth")
        if not {0, 1, 2, 3, 4, 6} <= set(growth):
            return float("nan")
        others = (2 * growth[1] + growth[2] + 2 * growth[3] + 2 * growth[4] + growth[6]) / 8
        return float((growth[0] / others).min())

    return measure


def _steps(maps):
    """Largest difference between neighbours, for a stack of maps."""
    return np.maximum(np.abs(np.diff(maps, axis=1)).max((1, 2)), np.abs(np.diff(maps, axis=2)).max((1, 2)))


def _smoothing(rows):
    """Largest step between neighbours after 2 x 2 means, over the one before: worst of 1,000 random maps."""
    maps = np.random.default_rng(0).random((1000, 6, 6))
    pooled = sum(maps[:, i : i + 5, j : j + 5] for i in (0, 1) for j in (0, 1)) / 4
    return float((_steps(pooled) / _steps(maps)).max())


def _turned(rows):
    """Change of the mean response of a filter's four turns when the picture is turned: largest of 1,000."""
    filters, pictures = np.random.default_rng(0).normal(size=(2, 1000, 3, 3))
    turns = np.stack([np.rot90(filters, k, axes=(1, 2)) for k in range(4)])

    def pooled(pictures):
        return np.maximum((turns * pictures).sum((2, 3)), 0).mean(0)

    return float(np.abs(pooled(np.rot90(pictures, axes=(1, 2))) - pooled(pictures)).max())


_exact = partial(Claim, paper="tomasini2023")
_claim = partial(_exact, study="zoo")

SECTION_1 = [
    _claim(
        id="a-1-centre-correlation", figure="fig-a-1-centre",
        statement="Networks with a smaller relative sensitivity R have a smaller test error on CIFAR-10.",
        paper_value="strong positive correlation",
        quantity="correlation of log error and log R", measure=_correlation("R"),
        tolerance={"laptop": Interval(0.8, 1), "gpu": Interval(0.9, 1), "paper": Interval(0.9, 1)},
        not_testable=FEW,
    ),
    _claim(
        id="a-1-centre-best", figure="fig-a-1-centre",
        statement="Of the three sensitivities the relative one is correlated best with the error.",
        paper_value="R best",
        quantity="correlation with R, minus the larger of that with D and minus that with G", measure=_margin,
        tolerance=dict.fromkeys(("laptop", "gpu", "paper"), Interval(low=0.0)), not_testable=FEW,
    ),
    _claim(
        id="a-1-centre-learned", figure="fig-a-1-centre",
        statement="The correlation is learned: it is not there at initialisation.",
        paper_value="none at initialisation",
        quantity="correlation of the trained networks' log error with log R before training",
        measure=_at_initialisation, tolerance=dict.fromkeys(("laptop", "gpu", "paper"), Interval(-0.5, 0.5)),
        not_testable=FEW,
    ),
    _claim(
        id="a-1-centre-D", figure="fig-a-1-centre",
        statement="The error grows with the sensitivity D to diffeomorphisms.",
        paper_value="positive correlation",
        quantity="correlation of log error and log D", measure=_correlation("D"),
        tolerance={"laptop": Interval(0, 1), "gpu": Interval(0.2, 1), "paper": Interval(0.2, 1)},
        not_testable=FEW,
    ),
    _claim(
        id="a-1-centre-G", figure="fig-a-1-centre",
        statement="The error falls with the sensitivity G to noise.",
        paper_value="negative correlation",
        quantity="correlation of log error and log G", measure=_correlation("G"),
        tolerance=dict.fromkeys(("laptop", "gpu", "paper"), Interval(-1, -0.3)), not_testable=FEW,
    ),
    _claim(
        id="a-1-right-R", figure="fig-a-1-right",
        statement="Error and R remain correlated when noise is added to training and test images.",
        paper_value="persists under some small noise",
        quantity="smallest correlation of log error and log R over noise norms up to 30",
        measure=_under_noise("R", min),
        tolerance={"laptop": Interval(0.6, 1), "gpu": Interval(0.8, 1), "paper": Interval(0.8, 1)},
        not_testable=FEW,
    ),
    _claim(
        id="a-1-right-G", figure="fig-a-1-right",
        statement="With noise on the images, too, better networks are more sensitive to noise.",
        paper_value="negative correlation",
        quantity="largest correlation of log error and log G over noise norms up to 30",
        measure=_under_noise("G", max),
        tolerance=dict.fromkeys(("laptop", "gpu", "paper"), Interval(-1, -0.3)), not_testable=FEW,
    ),
    _claim(
        id="a-1-right-D", figure="fig-a-1-right",
        statement="With noise on the images, too, the error grows with the sensitivity to diffeomorphisms.",
        paper_value="positive correlation",
        quantity="smallest correlation of log error and log D over noise norms up to 30",
        measure=_under_noise("D", min), tolerance={"gpu": Interval(0, 1), "paper": Interval(0.2, 1)},
        not_testable=UNANNEALED,
    ),
]  # fmt: skip

SECTION_2 = [
    _exact(
        id="a-2-spatial", figure="fig-a-2",
        statement="After spatial average pooling neighbouring values differ less.",
        paper_value="smaller variations",
        quantity="largest step between neighbours, after over before, worst of 1,000 random maps",
        measure=_smoothing, tolerance=everywhere(Interval(0, 1)),
    ),
    _exact(
        id="a-2-channel", figure="fig-a-2",
        statement="A mean over channels that are turns of one another stays when a picture is turned.",
        paper_value="invariant",
        quantity="largest change of the mean response of a filter's four turns, 1,000 random pictures",
        measure=_turned, tolerance=everywhere(Interval(0, 1e-12)),
    ),
    _claim(
        id="a-3-falls", figure="fig-a-3",
        statement="The relative sensitivity R falls from layer to layer of trained networks.",
        paper_value="decreases after each layer",
        quantity="rank correlation of R with depth, mean over convolutional networks", measure=_fall("R"),
        tolerance=dict.fromkeys(("laptop", "gpu", "paper"), Interval(-1, -0.7)), not_testable=NARROW,
    ),
    _claim(
        id="a-3-first-half", figure="fig-a-3",
        statement="In the first half of the networks, shuffling the channels leaves R unchanged.",
        paper_value="the curves overlap",
        quantity="R shuffled over R, geometric mean over networks and layers of the first half",
        measure=_excess(0, 1 / 2),
        tolerance={"laptop": Interval(0.67, 1.5), "gpu": Interval(0.75, 1.33), "paper": Interval(0.75, 1.33)},
        not_testable=NARROW,
    ),
    _claim(
        id="a-3-last-third", figure="fig-a-3",
        statement="Late in the networks channels are pooled: shuffling them raises R.",
        paper_value="the curves depart in the second part",
        quantity="R shuffled over R, geometric mean over networks and layers of the last third",
        measure=_excess(2 / 3, 1),
        tolerance={"laptop": Interval(low=1.1), "gpu": Interval(low=1.2), "paper": Interval(low=1.2)},
        not_testable=NARROW,
    ),
    _claim(
        id="a-3-depart", figure="fig-a-3",
        statement="The effect of shuffling is larger late in the networks than in their first half.",
        paper_value="the curves overlap, then depart",
        quantity="R shuffled over R in the last third, divided by the same in the first half",
        measure=_parting,
        tolerance={"laptop": Interval(low=1.0), "gpu": Interval(low=1.1), "paper": Interval(low=1.1)},
        not_testable=NARROW,
    ),
    _claim(
        id="a-11-D-falls", figure="fig-a-11",
        statement="Trained networks become less and less sensitive to diffeomorphisms with depth.",
        paper_value="D falls with depth",
        quantity="rank correlation of D with depth, mean over convolutional networks", measure=_fall("D"),
        tolerance=dict.fromkeys(("laptop", "gpu", "paper"), Interval(-1, -0.5)), not_testable=NARROW,
    ),
    _claim(
        id="a-4-row-1-layers-2-4", figure="fig-a-4-row-1",
        statement="Training turns the filters of VGG11bn into low-pass filters in layers 2 to 4.",
        paper_value="low-frequency modes dominate in layers 2 to 5",
        quantity="growth of the constant mode, over the mean of the others, smallest of layers 2 to 4",
        measure=_low_modes((2, 3, 4)), tolerance=everywhere(Interval(low=2.0)),
    ),
    _claim(
        id="a-4-row-1-layer-5", figure="fig-a-4-row-1",
        statement="The same in layer 5, where the effect is weaker.",
        paper_value="low-frequency modes dominate in layers 2 to 5",
        quantity="growth of the constant mode, over the mean of the others, layer 5",
        measure=_low_modes((5,)), tolerance=dict.fromkeys(("laptop", "gpu", "paper"), Interval(low=1.5)),
        not_testable=SMALL,
    ),
]  # fmt: skip
