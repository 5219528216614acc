"""Claims of slides D: Petrini, "The role of adaptive pooling" (Verbier, April 2022).

The intervals were set before the runs that they judge.
"""

import math

from relbook.claims import Claim, Interval, everywhere, slides2022_images, within
from relbook.studies.sphere import study as sphere
from relstab.data.scale_detection import line_task, translations
from relstab.theory.two_pixels import SOLUTIONS, output, two_pixel_sensitivities

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


def _pairs():
    task = line_task(1, 32, 7)
    return task, task.images(value=1.0).squeeze(1).double()


def _displacement(_):
    """Mean squared norm of tau x - x over all pairs of unit pixels and all moves."""
    task, images = _pairs()
    return sum(
        probability * (task.images(moved, value=1.0).squeeze(1) - images).square().sum(1).mean().item()
        for probability, moved in translations(task, stay=True)
    )


def _off_the_ramp(_):
    """Largest difference between either solution's output and max(0, xi - d)."""
    task, images = _pairs()
    apart = (task.positions[:, 1, 0] - task.positions[:, 0, 0]).abs()
    ramp = (7 - apart.minimum(32 - apart)).clamp(min=0)
    return max((output(images, 7, solution) - ramp).abs().max().item() for solution in SOLUTIONS)


def _of(solution, quantity):
    return lambda _: two_pixel_sensitivities().set_index("solution").loc[solution, quantity]


def _two_pixels(name, statement, paper_value, quantity, measure, interval):
    return Claim(id=f"d-two-pixels-{name}", paper="slides2022", figure="fig-d-two-pixels", statement=statement,
                 paper_value=paper_value, quantity=quantity, measure=measure, tolerance=everywhere(interval))  # fmt: skip


_ASKED = "asked for, not given"
TWO_PIXELS = [
    _two_pixels(
        "noise", "A displacement of both pixels has on average the squared norm of noise with lσ² = 8/3.", "8/3",
        "mean of ‖τx − x‖² over all pairs and moves", _displacement, within(8 / 3, 0.03),
    ),
    _two_pixels(
        "output", "Both constructed solutions compute ReLU(ξ − d).", "equal",
        "largest difference over all pairs, both solutions", _off_the_ramp, Interval(0.0, 1e-12),
    ),
    _two_pixels(
        "D", "The output's sensitivity to displacements, the same for both solutions.", _ASKED,
        "D of the output", _of("low", "D"), within(0.064, 0.01),
    ),
    _two_pixels(
        "G-low", "The output's sensitivity to noise, low-frequency filters.", _ASKED,
        "G of the output", _of("low", "G"), within(4.5, 0.05),
    ),
    _two_pixels(
        "G-high", "The output's sensitivity to noise, high-frequency filters.", _ASKED,
        "G of the output", _of("high", "G"), within(18.1, 0.05),
    ),
]  # fmt: skip

CLAIMS = [*SPHERE, *slides2022_images.CLAIMS, *TWO_PIXELS]
