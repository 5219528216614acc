"""Claims of paper C on trained networks: its Figs. 3 to 7.

The intervals were set before the runs that they judge, from prototype measurements where there were any. C trains
each network five times on all of CIFAR-10 at full width; where our scales train less, the same interval holds.
"""

import math

from relbook.claims import Claim, Interval
from relbook.studies.ruderman import tables

_ABOVE = ("laptop", "gpu", "paper")
_FEW_IMAGES = "the differences need about 10,000 images; with 1,500 a prototype did not see them"
_LABELS = "few images and a few epochs do not fit random labels"


def _above(interval):
    return dict.fromkeys(_ABOVE, interval)


def _order(rows):
    """The smaller of subsample/max and max/average at the last layer, untrained."""
    table = tables.profiles(rows, "real", "init")
    if not {"subsample", "max", "average"} <= set(table.index):
        return math.nan
    last = table[tables.LAST]
    return min(last["subsample"] / last["max"], last["max"] / last["average"])


def _convergence(rows):
    return tables.spread(rows, "real", "trained") / tables.spread(rows, "real", "init")


def _early(rows):
    """Trained over untrained sensitivity of layers 1 and 2, the median over networks."""
    before, after = (tables.profiles(rows, "real", stage) for stage in ("init", "trained"))
    return float((after[[1, 2]] / before[[1, 2]]).stack().median()) if len(after) else math.nan


def _smoothing(rows):
    """Largest ratio of mean sensitivities at one sigma and at the next smaller one, over the downsamplings."""
    table = tables.by_sigma(rows)
    if table.empty:
        return math.nan
    means = table.drop(columns=0).mean(axis=1).unstack("sigma")
    return float((means.iloc[:, 1:].to_numpy() / means.iloc[:, :-1].to_numpy()).max())


def _strengths(rows):
    """Rank correlation of the strength with the mean total variation."""
    means = tables.by_strength(rows)
    return (
        float(means.mean(axis=1).reset_index(name="tv").corr("spearman").loc["strength", "tv"])
        if len(means) > 2
        else math.nan
    )


def _below_start(rows):
    """Largest difference of mean total variation, trained minus untrained, over the strengths."""
    after, before = tables.by_strength(rows), tables.by_strength(rows, "init")
    return float((after.mean(axis=1) - before.mean(axis=1)).max()) if len(after) else math.nan


def _start(rows):
    """Mean total variation of untrained filters, layers after the first (which has few filters)."""
    table = tables.smoothness(rows, "real", "init")
    return float(table.iloc[:, 1:].to_numpy().mean()) if len(table) else math.nan


def _fall(rows):
    """Smallest fall of the total variation in training over the layers, mean over the downsamplings."""
    before, after = (tables.smoothness(rows, "real", stage) for stage in ("init", "trained"))
    return float((before.mean() - after.mean()).min()) if len(after) else math.nan


def _depth(rows):
    """Total variation of the last two convolutions minus that of the first two, trained."""
    table = tables.smoothness(rows, "real", "trained")
    return float(table.mean().iloc[-2:].mean() - table.mean().iloc[:2].mean()) if len(table) else math.nan


def _unfitted(rows):
    part = tables.chosen(rows, "random", "training")
    return float(part.train_error.max()) if len(part) else math.nan


def _matched_spread(rows):
    return tables.spread(rows, "random", "trained") / tables.spread(rows, "matched", "trained")


def _less_stable(rows):
    """Number of downsamplings whose random-label networks are the more sensitive at the last layer."""
    random, real = (tables.profiles(rows, task, "trained") for task in ("random", "matched"))
    if len(random) < 5 or len(real) < 5:
        return math.nan
    return float((random[tables.LAST] > real[tables.LAST]).sum())


def _tv_spread(rows):
    """Over the downsamplings, the spread of the filters' mean total variation: random over matched labels."""
    random, real = (tables.smoothness(rows, task, "trained").mean(axis=1) for task in ("random", "matched"))
    return float(random.std(ddof=1) / real.std(ddof=1)) if len(random) == len(real) == 5 else math.nan


def _seeds(rows):
    return tables.scatter_of_seeds(rows, "random") / tables.spread(rows, "random", "trained")


CLAIMS = [
    Claim(
        id="c-3-pooling-helps-at-start",
        paper="ruderman2018",
        figure="fig-c-3",
        statement="At initialisation pooling confers stability: average pooling is the least sensitive, max pooling next, "
        "subsampling the most of the three.",
        paper_value="average < max < subsample (read off)",
        quantity="the smaller of subsample/max and max/average, last layer, untrained",
        study="ruderman",
        measure=_order,
        tolerance=dict.fromkeys(("tiny", *_ABOVE), Interval(1.0, math.inf)),
    ),
    Claim(
        id="c-3-convergence",
        paper="ruderman2018",
        figure="fig-c-3",
        statement="After training on real labels, networks with any downsampling have nearly the same stability.",
        paper_value="spread vanishes (picture)",
        quantity="spread over the five downsamplings at the last layer, trained over untrained",
        study="ruderman",
        measure=_convergence,
        tolerance=_above(Interval(0.0, 0.35)),
        not_testable=_FEW_IMAGES,
    ),
    Claim(
        id="c-3-early-layers",
        paper="ruderman2018",
        figure="fig-c-3",
        statement="Training often makes early layers more sensitive to deformations.",
        paper_value="increases (picture)",
        quantity="trained over untrained sensitivity of layers 1 and 2, median",
        study="ruderman",
        measure=_early,
        tolerance=_above(Interval(1.0, math.inf)),
        not_testable=_FEW_IMAGES,
    ),
    Claim(
        id="c-4-smooth-filters",
        paper="ruderman2018",
        figure="fig-c-4",
        statement="The smoother the random filters, the less sensitive the untrained network.",
        paper_value="monotone (picture)",
        quantity="mean sensitivity at one σ over that at the next smaller, largest ratio",
        study="ruderman",
        measure=_smoothing,
        tolerance=dict.fromkeys(("tiny", *_ABOVE), Interval(0.0, 1.0)),
    ),
    Claim(
        id="c-5-strength",
        paper="ruderman2018",
        figure="fig-c-5",
        statement="Tasks with stronger deformations lead to smoother filters.",
        paper_value="monotone (picture)",
        quantity="rank correlation of strength and mean total variation",
        study="ruderman",
        measure=_strengths,
        tolerance=_above(Interval(-1.0, -0.8)),
        not_testable="a few images and steps hardly move the filters",
    ),
    Claim(
        id="c-5-smoother-than-start",
        paper="ruderman2018",
        figure="fig-c-5",
        statement="At every strength the trained filters are smoother than untrained ones.",
        paper_value="below the dotted line (picture)",
        quantity="mean total variation, trained minus untrained, largest over the strengths",
        study="ruderman",
        measure=_below_start,
        tolerance=_above(Interval(-math.inf, 0.0)),
        not_testable="a few images and steps hardly move the filters",
    ),
    Claim(
        id="c-6-start",
        paper="ruderman2018",
        figure="fig-c-6",
        statement="Untrained filters, drawn from a truncated normal law, have total variation 1.87 in all layers.",
        paper_value="1.87",
        quantity="mean over layers 2 to 8 and networks, untrained",
        study="ruderman",
        measure=_start,
        tolerance=dict.fromkeys(("tiny", *_ABOVE), Interval(1.84, 1.90)),
        digits=4,
    ),
    Claim(
        id="c-6-smoother",
        paper="ruderman2018",
        figure="fig-c-6",
        statement="Training on real labels makes the filters of every layer smoother.",
        paper_value="all below 1.87 (picture)",
        quantity="smallest fall of the total variation over the layers",
        study="ruderman",
        measure=_fall,
        tolerance=_above(Interval(0.05, math.inf)),
        not_testable=_FEW_IMAGES,
    ),
    Claim(
        id="c-6-depth",
        paper="ruderman2018",
        figure="fig-c-6",
        statement="On CIFAR-10 the filters are less smooth the deeper the layer.",
        paper_value="decreasing smoothness (picture)",
        quantity="total variation, last two convolutions minus first two",
        study="ruderman",
        measure=_depth,
        tolerance=_above(Interval(0.0, math.inf)),
        not_testable=_FEW_IMAGES,
    ),
    Claim(
        id="c-6-random-labels",
        paper="ruderman2018",
        figure="fig-c-6",
        statement="With random labels, unlike with real ones, the smoothness of the filters depends on the downsampling.",
        paper_value="spread (picture)",
        quantity="spread of mean total variation over the downsamplings, random over real labels, all else equal",
        study="ruderman",
        measure=_tv_spread,
        tolerance=_above(Interval(1.5, math.inf)),
        not_testable=_LABELS,
    ),
    Claim(
        id="c-7-fitted",
        paper="ruderman2018",
        figure="fig-c-7",
        statement="The networks fit random labels.",
        paper_value="zero error (implied)",
        quantity="largest training error over the networks with random labels",
        study="ruderman",
        measure=_unfitted,
        tolerance=_above(Interval(0.0, 0.005)),
        not_testable=_LABELS,
    ),
    Claim(
        id="c-7-no-convergence",
        paper="ruderman2018",
        figure="fig-c-7",
        statement="With random labels, unlike with real ones, the stability depends on the downsampling.",
        paper_value="spread (picture)",
        quantity="spread over the downsamplings at the last layer, random over real labels, all else equal",
        study="ruderman",
        measure=_matched_spread,
        tolerance=_above(Interval(1.5, math.inf)),
        not_testable=_LABELS,
    ),
    Claim(
        id="c-7-less-stable",
        paper="ruderman2018",
        figure="fig-c-7",
        statement="Stability depends on the labels, not only on the images: with random ones the last layer is less stable.",
        paper_value="higher curves than in Fig. 3d (picture)",
        quantity="number of downsamplings, of five, more sensitive with random labels, all else equal",
        study="ruderman",
        measure=_less_stable,
        tolerance=_above(Interval(4, 5)),
        not_testable=_LABELS,
    ),
    Claim(
        id="c-7-seeds",
        paper="ruderman2018",
        figure="fig-c-7",
        statement="With random labels the stability depends on the architecture, and little on the seed.",
        paper_value="narrow bands (picture)",
        quantity="standard deviation over seeds over that over downsamplings, last layer",
        study="ruderman",
        measure=_seeds,
        tolerance=_above(Interval(0.0, 0.5)),
        not_testable=_LABELS,
    ),
]
