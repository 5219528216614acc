"""Claims of slides D: Petrini, "The role of adaptive pooling" (Verbier, April 2022).

The intervals were set before the runs that they judge.
"""

import math

from relstab.claims import Claim, Interval, everywhere
from relstab.studies import sphere

_ABOVE = {"laptop", "gpu", "paper"}
_PAIR = (16, 32)


def _every(quantity):
    """Smallest feature-over-lazy ratio of `quantity` over all dimensions and sizes."""

    def measure(rows):
        part = sphere.measures(rows)
        if part.empty:
            return math.nan
        return min(
            sphere.ratio(rows, quantity, dimension=d, sizes=[p])
            for d, p in part[["dimension", "train"]].drop_duplicates().itertuples(index=False)
        )

    return measure


def _pair(quantity, dimension=3, over=sphere.LAZY):
    return lambda rows: sphere.ratio(rows, quantity, dimension=dimension, sizes=_PAIR, over=over)


def _moved(rows):
    """Largest relative change of the weights among lazy networks."""
    part = sphere.measures(rows)
    return part[part.alpha == sphere.LAZY].weight_change.max() if len(part) else math.nan


def _kept(rows):
    """Concentration of lazy networks over that of the same networks before: the ratio farthest from 1."""
    part = sphere.measures(rows)
    if part.empty:
        return math.nan
    table = part.pivot_table(index=["dimension", "train", "member"], columns="alpha", values="concentration")
    ratios = table[sphere.LAZY] / table[math.inf]
    return ratios.iloc[(ratios - 1).abs().argmax()]


SPHERE = [
    Claim(
        id="d-sphere-lazy-preserves",
        paper="slides2022",
        figure="fig-d-sphere",
        statement="In the lazy regime training preserves the rotational symmetry of the neurons.",
        paper_value="symmetry preserved (picture)",
        quantity="concentration of directions after lazy training over that before, worst network",
        study="sphere",
        measure=_kept,
        tolerance=everywhere(Interval(0.95, 1.05)),
    ),
    Claim(
        id="d-sphere-lazy-weights",
        paper="slides2022",
        figure="fig-d-sphere",
        statement="The networks called lazy here are: their weights hardly move.",
        paper_value="0 in the limit",
        quantity="largest relative change of the weights at α = 100",
        study="sphere",
        measure=_moved,
        tolerance=everywhere(Interval(0.0, 0.05)),
    ),
    Claim(
        id="d-sphere-feature-breaks",
        paper="slides2022",
        figure="fig-d-sphere",
        statement="Feature training breaks the symmetry: the neurons condense onto few directions.",
        paper_value="symmetry broken (picture)",
        quantity="concentration of directions, feature over lazy, d = 3, smaller of P = 16 and 32",
        study="sphere",
        measure=_pair("concentration"),
        tolerance=everywhere(Interval(1.4)),
    ),
    Claim(
        id="d-lazy-test-error",
        paper="slides2022",
        figure="fig-d-lazy",
        statement="Lazy training performs better than feature training on the sphere.",
        paper_value="test error feature > lazy",
        quantity="test error, feature over lazy, d = 3, smaller of P = 16 and 32",
        study="sphere",
        measure=_pair("test_mse"),
        tolerance=everywhere(Interval(1.5)),
    ),
    Claim(
        id="d-lazy-rotations",
        paper="slides2022",
        figure="fig-d-lazy",
        statement="Lazily trained networks are more stable to rotations of their inputs.",
        paper_value="S feature > lazy",
        quantity="rotation sensitivity S at 10°, feature over lazy, d = 3, smaller of P = 16 and 32",
        study="sphere",
        measure=_pair("S"),
        tolerance=everywhere(Interval(1.5)),
    ),
    Claim(
        id="d-lazy-kernel",
        paper="slides2022",
        figure="fig-d-lazy",
        statement="The same comparison with the exact lazy limit of infinite width, kernel regression.",
        paper_value="test error feature > lazy",
        quantity="test error, feature over kernel regression, d = 3, smaller of P = 16 and 32",
        study="sphere",
        measure=_pair("test_mse", over=math.inf),
        tolerance=everywhere(Interval(1.5)),
    ),
    Claim(
        id="d-lazy-every-size",
        paper="slides2022",
        figure="fig-d-lazy",
        statement="Lazy training is better at every dimension and every size of the training set.",
        paper_value="test error feature > lazy",
        quantity="test error, feature over lazy, smallest ratio of all dimensions and sizes",
        study="sphere",
        measure=_every("test_mse"),
        tolerance=everywhere(Interval(1.0)),
    ),
    Claim(
        id="d-lazy-five-dimensions",
        paper="slides2022",
        figure="fig-d-lazy",
        statement="Lazy training performs better in five dimensions, too.",
        paper_value="test error feature > lazy",
        quantity="test error, feature over lazy, d = 5, smaller of P = 16 and 32",
        study="sphere",
        measure=_pair("test_mse", 5),
        tolerance={scale: Interval(1.5) for scale in _ABOVE},
        not_testable="only two and three dimensions are run at this scale",
    ),
]

CLAIMS = [*SPHERE]
