"""Claims of slides D about images: feature training makes fully connected nets less stable to diffeomorphisms.

The slides give no numbers. Tolerances were set before the first run of the study; pilots had shown how many
steps, what training losses and, for a few networks, what test errors to expect, but no D, G or R. Two things
changed after the first run, which was at the scale tiny: α = 1000, called lazy there, missed the tolerance of
the claim about the exact limit (0.886), and was replaced by 10⁵; and the claim about D alone was added, seen
to fail there, since the slides' words allow that reading.
"""

import math

from relbook.claims import Claim, Interval, everywhere
from relbook.studies.lazy_images import study as lazy_images

_NETS = {"fc_l2": ("one", "one hidden layer"), "fc_l4": ("three", "three hidden layers")}


def _ratio(quantity, network, over=lazy_images.LAZY):
    """Geometric mean over sizes and seeds of `quantity` after feature training over that at α = `over`."""

    def measure(rows):
        logs = lazy_images.ratios(rows, quantity, lazy_images.FEATURE, over)
        return math.exp(logs[logs.index.get_level_values("network") == network].mean())

    return measure


def _every_size(rows):
    """Smallest ratio of R, feature over lazy, of all networks and sizes; geometric means over seeds."""
    logs = lazy_images.ratios(rows, "R", lazy_images.FEATURE, lazy_images.LAZY)
    return math.exp(logs.groupby(["network", "train"]).mean().min()) if len(logs) else math.nan


def _off_the_limit(rows):
    """R of lazy networks over R of the exact lazy limit: the ratio farthest from 1."""
    logs = lazy_images.ratios(rows, "R", lazy_images.LAZY, lazy_images.LIMIT)
    return math.exp(logs.iloc[logs.abs().argmax()]) if len(logs) else math.nan


def _moved(rows):
    """Largest relative change of the weights among lazy networks."""
    found = lazy_images.networks(rows)
    return found.loc[found.alpha == lazy_images.LAZY, "weight_change"].max() if len(found) else math.nan


def _claim(name, statement, paper_value, quantity, measure, interval):
    return Claim(id=f"d-lazy-images-{name}", paper="slides2022", figure="fig-d-lazy-images", statement=statement,
                 paper_value=paper_value, quantity=quantity, study="lazy_images", measure=measure,
                 tolerance=everywhere(interval))  # fmt: skip


CLAIMS = [
    *(
        _claim(
            f"stability-{short}", f"Feature training leaves a net with {words} less stable to diffeomorphisms "
            "than lazy training does.", "R feature > lazy",
            "R, feature over lazy, geometric mean over sizes and seeds", _ratio("R", network), Interval(1.05),
        )
        for network, (short, words) in _NETS.items()
    ),
    _claim(
        "every-size", "Feature training leaves nets less stable at every size of the training set.",
        "R feature > lazy", "R, feature over lazy, smallest ratio of all networks and sizes", _every_size,
        Interval(1.0),
    ),
    *(
        _claim(
            f"unlearn-{short}", f"Feature training takes away the stability that a net with {words} had at its "
            "start.", "R after > before", "R, after feature training over before, geometric mean over sizes and "
            "seeds", _ratio("R", network, over=lazy_images.START), Interval(1.05),
        )
        for network, (short, words) in _NETS.items()
    ),
    *(
        _claim(
            f"error-{short}", f"Lazy training performs better than feature training: {words}.",
            "test error feature > lazy", "test error, feature over lazy, geometric mean over sizes and seeds",
            _ratio("test_error", network), Interval(1.0),
        )
        for network, (short, words) in _NETS.items()
    ),
    _claim(
        "sensitivity", "Feature training leaves nets more sensitive to diffeomorphisms in absolute terms, too: D "
        "itself, without the comparison to noise.", "not said; R feature > lazy",
        "D, feature over lazy, smaller of the two networks' geometric means",
        lambda rows: min(_ratio("D", network)(rows) for network in _NETS), Interval(1.05),
    ),
    _claim(
        "weights", "The networks called lazy here are: their weights hardly move.", "0 in the limit",
        "largest relative change of the weights at α = 10⁵", _moved, Interval(0.0, 0.05),
    ),
    _claim(
        "limit", "The networks called lazy here give the stability of the exact lazy limit.", "equal",
        "R at α = 10⁵ over R of the network linearised at its start, the ratio farthest from 1", _off_the_limit,
        Interval(0.95, 1.05),
    ),
]  # fmt: skip
