"""Claims of paper B, Sec. 6 (Fig. 7): the stripe model.

The rule that trains the networks (`relbook.studies.stripe.study.RULE`) and the intervals were set before the runs.
"""

import math

from relbook.claims import Claim, Interval, everywhere
from relbook.studies.stripe import study as stripe


def _ratio(rows):
    """Geometric-mean R at P = 4096 over that at P = 512."""
    means = stripe.chosen(rows).assign(log=lambda r: r.R.map(math.log)).groupby("train").log.mean()
    return math.exp(means[4096] - means[512]) if {512, 4096} <= set(means.index) else math.nan


def _performance(stop):
    """Correlation of log R and log test error over networks and sizes, for one stop of the declared rule."""

    def measure(rows):
        part = stripe.chosen(rows, stop=stop)
        return part.R.map(math.log).corr(part.test_error.clip(lower=1 / stripe.TEST).map(math.log))

    return measure


RULE = "gradient descent, α = 1e-4, stop at 30 % violated margins"
END = "gradient descent, α = 1e-4, no violated margin"

SECTION_6 = [
    Claim(
        id="b-7-slope",
        paper="petrini2021",
        figure="fig-b-7",
        statement="In the stripe model the relative stability falls as 1/P, P the size of the training set.",
        paper_value="exponent -1",
        quantity=f"exponent of R in P; {RULE}",
        study="stripe",
        measure=lambda rows: stripe.slope(rows)[0],
        tolerance=everywhere(Interval(-1.5, -0.65)),
    ),
    Claim(
        id="b-7-decrease",
        paper="petrini2021",
        figure="fig-b-7",
        statement="Eight times more data make a network several times more stable to invariant directions.",
        paper_value="1/8",
        quantity=f"R at P = 4096 over R at P = 512; {RULE}",
        study="stripe",
        measure=_ratio,
        tolerance=everywhere(Interval(0.0, 0.25)),
    ),
    Claim(
        id="b-7-slope-to-the-end",
        paper="petrini2021",
        figure="fig-b-7-rules",
        statement="The law 1/P also describes networks trained until every margin is satisfied.",
        paper_value="exponent -1",
        quantity=f"exponent of R in P; {END}, sizes at which all members got there",
        study="stripe",
        measure=lambda rows: stripe.slope(rows, stop=0.0)[0],
        tolerance={scale: Interval(-1.5, -0.65) for scale in ("laptop", "gpu", "paper")},
        not_testable="at this scale training stops when 30 % of the margins are still violated",
    ),
    Claim(
        id="b-7-alignment",
        paper="petrini2021",
        figure="fig-b-7-alignment",
        statement="Weights align with the informative direction: what is orthogonal to it vanishes as 1/√P.",
        paper_value="exponent 1/2 of Λ, the parallel over the orthogonal weights",
        quantity=f"exponent of Λ in P; {RULE}",
        study="stripe",
        measure=lambda rows: stripe.slope(rows, "Lambda")[0],
        tolerance=everywhere(Interval(0.3, 0.7)),
    ),
    Claim(
        id="b-7-performance",
        paper="petrini2021",
        figure="fig-b-7",
        statement="In this model, too, a smaller relative stability goes with a smaller test error (Sec. 7).",
        paper_value="positive correlation",
        quantity=f"correlation of log R and log test error over sizes and seeds; {RULE}",
        study="stripe",
        measure=_performance(stripe.RULE["stop"]),
        tolerance=everywhere(Interval(0.7, 1.0)),
    ),
    Claim(
        id="b-7-performance-to-the-end",
        paper="petrini2021",
        figure="fig-b-7-rules",
        statement="The same among networks trained until all margins are met, whose error no stop has fixed.",
        paper_value="positive correlation",
        quantity=f"correlation of log R and log test error over sizes and seeds; {END}",
        study="stripe",
        measure=_performance(0.0),
        tolerance={scale: Interval(0.7, 1.0) for scale in ("laptop", "gpu", "paper")},
        not_testable="at this scale training stops when 30 % of the margins are still violated",
    ),
]
