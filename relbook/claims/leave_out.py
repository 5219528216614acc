"""What the papers leave out: claims for discrepancies that no section's page judges, and the list of them all.

A `Finding` is a section of the page: where a paper says something, how large the difference is (computed), what this
book does, and the claims of the ledger that judge it. Not every finding is a slip: most are choices that the
text does not mention. Intervals follow from the corrected formulas, not from runs.

>>> from relbook.claims import leave_out
>>> leave_out.FINDINGS[0].title, leave_out.FINDINGS[0].effect()
('Which modes are kept', '6 modes at c = 3 instead of 4')
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from relbook import claims, registry
from relbook.claims import Claim, Interval, everywhere, within
from relbook.studies.omissions import effects
from relbook.studies.scale_detection import study as line
from relbook.studies.stripe import study as stripe
from relbook.studies.zoo import tables as zoo_tables
from relstab import diffeo, models, theory
from relstab.data.scale_detection import image_task, line_task
from relstab.train import ensembles, recipes

KINDS = ("slip in print", "text and code differ", "left open")
LARGE = ("laptop", "gpu", "paper")
STATISTICS = ("mean", "median", "component_median")


def medians(rows: pd.DataFrame) -> pd.DataFrame:
    """R at the output of every trained network of the zoo by each statistic: dataset, architecture, then one a column."""
    parts = [
        zoo_tables.outputs(rows, statistic=name)[[*zoo_tables.UNIT, "R"]].assign(statistic=name)
        for name in STATISTICS
    ]
    table = pd.concat(parts).pivot_table(index=zoo_tables.UNIT, columns="statistic", values="R", dropna=True)
    return table.reindex(columns=STATISTICS).dropna().reset_index()


def largest_factor(table: pd.DataFrame) -> float:
    """The largest factor between two statistics of one network in a table of `medians`; NaN without networks."""
    logs = np.log(table[list(STATISTICS)])
    return float(np.exp((logs.max(axis=1) - logs.min(axis=1)).max())) if len(table) else math.nan


def _text_temperature(cut):
    """T = (8/π³)/c², the bound in B's text."""
    return 8 / math.pi**3 / cut**2


def _fall(rows):
    """T c² where half of the fields fold at c = 5, over the same at c = 20."""
    plain = effects.boundary(rows)["T c²"]
    return plain[5] / plain[20] if {5, 20} <= set(plain.index) else math.nan


def _labels_changed(_):
    return effects.label_changes(image_task(1, 32, 14, gap=2), 14, 2)


CLAIMS = [
    Claim(
        id="b-range-logarithm", paper="petrini2021", figure="fig-b-range", study="diffeomorphisms",
        statement="The temperature at which fields fold falls with the cut-off as 1/c² (Sec. 2.2).",
        paper_value="T ≪ (8/π³)/c²: ratio 1", quantity="T c² at the boundary, c = 5 over c = 20, mode rule of the text",
        measure=_fall, tolerance=everywhere(within(1.0, 0.15)),
        corrected=(within(math.log(20) / math.log(5), 0.15),
                   "it falls as 1/(c² ln c), as in the authors' code: ratio ln 20 / ln 5 = 1.86"),
    ),
    Claim(
        id="b-range-norm", paper="petrini2021", figure="fig-b-range",
        statement="At the temperature (8/π³)/c² the norm ‖τ‖² is one (Sec. 2.2), here at c = 30.",
        paper_value="1", quantity="‖τ‖², both components, in units of the image's side, c = 30",
        measure=lambda _: effects.squared_norm(_text_temperature(30), 30),
        tolerance=everywhere(Interval(0.5, 2.0)),
        corrected=(Interval(0.0, 0.01), "it is ‖∇τ‖² = (π³/8) c² T that is one there"),
    ),
    Claim(
        id="b-medians-norm", paper="petrini2021", figure="fig-b-medians",
        statement="The average in Eq. 4 is a median of ‖f(τx) − f(x)‖² over images.",
        paper_value="1 (ratio)", quantity="what the code computes over that median, ten normal components",
        measure=lambda _: effects.median_ratio(), tolerance=everywhere(within(1.0, 0.1)),
        corrected=(within(10 * 0.45494 / 9.34182, 0.05),
                   "the code sums the medians of the components: 10 × 0.455, not 9.34, from χ² with 1 and 10 degrees of freedom"),
    ),
    Claim(
        id="b-medians-R", paper="petrini2021", figure="fig-b-medians", study="zoo",
        statement="Means in place of medians leave the relative stability of a network about the same (Sec. 3).",
        paper_value="the conclusions also apply to means",
        quantity="largest factor between three statistics of R, trained networks",
        measure=lambda rows: largest_factor(medians(rows)), tolerance=dict.fromkeys(LARGE, Interval(1.0, 1.5)),
        not_testable="a few small networks", digits=4,
    ),
    Claim(
        id="a-5-gap-image", paper="tomasini2023", figure="fig-a-5", digits=2,
        statement="In two dimensions, too, labels of task 1 are invariant to displacements of the pixels by less than the gap.",
        paper_value="invariant",
        quantity="share of inputs and moves to a neighbouring pixel that reach the other class, ξ = 14, g = 2",
        measure=_labels_changed, tolerance=everywhere(Interval(0.0, 0.0)),
        corrected=(Interval(1e-5, 0.01), "both pixels move, each by up to √2, which changes d by up to 2.8 > g; rare"),
    ),
    Claim(
        id="c-baseline-quoted", paper="ruderman2018", figure="fig-c-baseline", digits=4,
        statement="Untrained filters have an average smoothness of 1.87 (footnotes 1 and 2).",
        paper_value="1.87", quantity="mean of TV/L1 over single 3 × 3 filters, truncated normal",
        measure=lambda _: effects.roughness().loc["truncated normal", "slices"], tolerance=everywhere(Interval(1.865, 1.875)),
    ),
    Claim(
        id="c-baseline-formula", paper="ruderman2018", figure="fig-c-baseline", digits=4,
        statement="The quoted 1.87 is TV(W)/‖W‖₁ of a layer, as the formula has it.",
        paper_value="1.87", quantity="ratio of the sums over all 3 × 3 filters, truncated normal",
        measure=lambda _: effects.roughness().loc["truncated normal", "pooled"], tolerance=everywhere(Interval(1.865, 1.875)),
        corrected=(Interval(1.852, 1.862), "the ratio of sums is 1.857; 1.87 is the mean of the ratios of single filters"),
    ),
]  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One section of the page.

    anchor:  of its heading; title: the heading
    place:   paper and section
    kind:    of `KINDS`
    effect:  () -> the size of the effect in words and computed numbers
    choice:  what this book does
    claims:  ids of the claims that judge it, of any paper; may be none
    """

    anchor: str
    title: str
    place: str
    kind: str
    effect: Callable[[], str]
    choice: str
    claims: tuple[str, ...] = ()

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(
                f"finding {self.anchor}: kind is {self.kind!r}; it must be one of {', '.join(KINDS)}"
            )


def _modes():
    code, paper = (int(diffeo.kept_modes(3, rule=rule).sum()) for rule in diffeo.RULES)
    return f"{code} modes at c = 3 instead of {paper}"


def _centre():
    return (
        f"δ = 1 is {diffeo.displacement(diffeo.temperature(1.0, 3, 32), 3, 32, exact=True):.2f} px at c = 3"
    )


def _norm():
    return f"‖τ‖² = {effects.squared_norm(_text_temperature(30), 30):.1g} where ‖∇τ‖² = 1, at c = 30"


def _blur():
    return f"a picture changes by {effects.blur(effects.fashion()):.0%} of its norm at T = 0"


def _medians():
    factor = largest_factor(medians(registry.shown("zoo")))
    return f"{effects.median_ratio():.2f} of the median for a normal response; R changes by a factor of {factor:.2f} at most"


def _radius():
    return (
        f"one radius for all lowers G by {effects.radii(effects.fashion())['lower by']:.0%} (Fashion-MNIST)"
    )


def _one_draw():
    table = effects.draws(effects.fashion())
    return f"R varies by {table['R'].std() / table['R'].mean():.0%} between draws, for 500 images"


def _batch_norm():
    table = effects.batch_norm()["R"]
    return f"R at initialisation is {table['of the batch']:.2f} or {table['as stored']:.2f} (narrow VGG11bn)"


def _shuffle():
    change = effects.kept_geometry("independent")
    return f"inner products of output channels change by 0, or by {change:.1f} of the largest"


def _cosine():
    recipe = recipes.paper("vgg11_bn", reading="code")
    return f"the last of 250 epochs runs at {recipes.learning_rate(recipe, 249) / recipe.lr:.0%} of the first rate"


def _selection():
    gain = effects.optimism(effects.selection())
    return f"{100 * gain['gain'].mean():.1f} points, {gain['in deviations'].mean():.1f} standard errors of a test set (FC-L4)"


def _hidden():
    count = sum("relu" in name for name in models.build("fc_l4").probe_points)
    return f"{count} hidden layers in FullConn-L4"


def _gap():
    counts = [
        int((line_task(1, 32, 11, gap=4, convention=name).labels < 0).sum()) for name in ("paper", "code")
    ]
    return f"{counts[0]} or {counts[1]} far pairs on 32 pixels, g = 4; 2-D labels change in {_labels_changed(None):.2%} of moves"


def _diagonal():
    task = image_task(1, 28, 14, gap=2)
    share = (task.positions[..., 0] == task.positions[..., 1]).any(1).double().mean().item()
    return f"{share:.1%} of the pairs never occur"


def _value():
    task = image_task(1, 28, 14, gap=2).take(slice(1))
    norms = [task.images(value=value).square().sum().item() for value in (None, 28**2 / 2)]
    return f"‖x‖² is {norms[0]:.0f} or {norms[1]:.0f} on 28 × 28 pixels"


def _rectified():
    exponent = {flag: effects.exponents(1, rectified=flag)["G"] for flag in (True, False)}
    return f"half the squared norm; exponent of G {exponent[True]:.2f} instead of {exponent[False]:.2f}"


def _clock():
    setting = line.PAPER[1]
    steps = ensembles.Recipe(learning_rate=0.01, ridge=0.01, clocks=1, limit=1).clock(setting["layers"])
    return f"decay needs {steps:,.0f} steps, {8 * steps / setting['train']:,.0f} epochs, however soon the data are fitted"


def _prop():
    ratio = theory.diffusion_constant(3) / theory.diffusion_constant(3, version="paper")
    return f"variance {ratio:.2g} times the printed one at F = 3"


def _exponents():
    one = effects.exponents(1)
    return f"{one['D']:.2f}, {one['G']:.2f}, {one['R']:.2f} for −2, 1, −3 (task 1, layers 2 to 6)"


def _stripe():
    rows = registry.shown("stripe")
    found = [(stop, stripe.slope(rows, stop=stop)[0]) for stop in (stripe.RULE["stop"], 0.1, 0.0)]
    known = [f"{value:.2f} at {stop:.0%}" for stop, value in found if math.isfinite(value)]
    return "exponent " + ", ".join(known) + " of violated margins"


def _tv():
    row = effects.roughness().loc["truncated normal"]
    return f"{row['pooled']:.3f} by the formula, {row['slices']:.3f} by single filters"


def _spline():
    size = effects.source_or_destination()
    return f"{size['difference']:.2f} px of {size['displacement']:.2f} px rms"


FINDINGS = (
    Finding("left-out-modes", "Which modes are kept", "B Sec. 2.1", KINDS[1], _modes,
            "the code's rule; the text's by `rule=\"paper\"`", ("b-1-nominal-displacement",)),
    Finding("left-out-nominal", "One pixel that is more than a pixel", "B Eq. 3", KINDS[2], _centre,
            "δ is nominal, the exact value is given by `exact=True`", ("b-1-log-law", "b-1-norm-c3")),
    Finding("left-out-range", "When fields fold: a logarithm", "B Sec. 2.2", KINDS[0],
            lambda: f"T c² falls by a factor of {_fall(registry.shown('diffeomorphisms')):.2f} from c = 5 to 20",
            "the code's 4/(π³c² ln c), with the measured chance of a fold",
            ("b-range-logarithm", "b-1-fold-boundary", "b-1-fold-form")),
    Finding("left-out-gradient", "A norm that should be of a gradient", "B Sec. 2.2", KINDS[0], _norm,
            "‖∇τ‖ throughout", ("b-range-norm",)),
    Finding("left-out-folds", "Deformations that are no diffeomorphisms", "B Fig. 3", KINDS[2],
            lambda: f"{effects.folded(1.0, 15, 32):.0%} of the fields fold at c = 15, δ = 1, n = 32",
            "c = 3; curves at c = 15 are shown with a warning", ("b-1-c15-folds", "b-1-c3-no-fold")),
    Finding("left-out-blur", "An interpolation that blurs", "B Sec. 2.1", KINDS[2], _blur,
            "as the authors: x is blurred, too, before it is compared"),
    Finding("left-out-median", "A median that is not one", "B Eq. 4", KINDS[1], _medians,
            "three statistics by name; B's figures use the code's", ("b-medians-norm", "b-medians-R")),
    Finding("left-out-radius", "The radius of the noise", "B Eq. 4", KINDS[1], _radius,
            "a radius for each image, as the code; the text's by `noise=\"fixed\"`"),
    Finding("left-out-draws", "How many deformations per image", "B Fig. 3", KINDS[2], _one_draw,
            "one for each of 500 images, the same for all networks"),
    Finding("left-out-batch-norm", "Batch normalisation before training", "B Fig. 3, A Fig. 3", KINDS[2], _batch_norm,
            "statistics of the batch before training, as the code"),
    Finding("left-out-in-place", "Layers that overwrite each other", "A Fig. 3, B Fig. 14", KINDS[2],
            lambda: "what is read as batch normalisation is the layer after it",
            "values are read at once, after the ReLU of each block"),
    Finding("left-out-shuffle", "How channels are shuffled", "A Sec. 2", KINDS[2], _shuffle,
            "the code's, averaged over several draws"),
    Finding("left-out-cosine", "A cosine that climbs again", "A App. B.1", KINDS[2], _cosine,
            "annealed to zero at the end; the other by `reading=\"code\"`"),
    Finding("left-out-selection", "Early stopping on the test set", "A App. B.1", KINDS[1], _selection,
            "the last epoch, or a validation set of its own"),
    Finding("left-out-fc", "Three hidden layers, and what a step means", "B Sec. 3", KINDS[1], _hidden,
            "as the code: L counts weight layers, NTK parametrisation"),
    Finding("left-out-gap", "The gap, and who crosses it", "A Sec. 3, App. B.2", KINDS[1], _gap,
            "the text's gap, ξ ± g/2", ("a-5-gap", "a-5-gap-image")),
    Finding("left-out-diagonal", "Pixels that are never lit", "A Sec. 3, Fig. 6", KINDS[1], _diagonal,
            "all pairs, on 32 × 32 pixels"),
    Finding("left-out-value", "How bright a pixel is", "A Sec. 4", KINDS[2], _value,
            "√(L/2), the text's, in one and two dimensions"),
    Finding("left-out-rectified", "Noise that has lost half its power", "A Eq. 1, App. B.2", KINDS[2], _rectified,
            "rectified at the input for A Fig. 9, as the appendix says", ("a-9-exponents-G-unrectified",)),
    Finding("left-out-collisions", "Pixels that meet", "A Sec. 4", KINDS[2],
            lambda: f"{effects.collisions(line_task(1, 32, 11, gap=4)):.1%} of the moves in task 1",
            "brightness adds up, and the ring is closed"),
    Finding("left-out-mean", "The mean channel", "A Fig. 9", KINDS[1],
            lambda: f"{effects.mean_channels():.2f} of the norm, before training",
            "activations are averaged; the network of mean filters by `mean_channel`"),
    Finding("left-out-clock", "Five hundred interpolation times", "A App. B.2", KINDS[2], _clock,
            "training is measured in multiples of the time of decay"),
    Finding("left-out-proposition", "The constants of Proposition A.1", "A App. A", KINDS[0], _prop,
            "D = (F² − 1)/24, drift ½ for even F",
            ("a-prop1-variance-2", "a-prop1-variance-3", "a-prop1-variance-4", "a-prop1-variance-5", "a-prop1-drift")),
    Finding("left-out-exponents", "Exponents of small networks", "A Eqs. 5 to 9", KINDS[2], _exponents,
            "comparison with the exact curve; laws are drawn as limits",
            ("a-9-top-law-D", "a-9-top-law-G", "a-9-top-law-R", "a-9-bottom-law-D", "a-9-bottom-law-G", "a-9-bottom-law-R")),
    Finding("left-out-stop", "When to stop in the stripe model", "B Sec. 6", KINDS[2], _stripe,
            "a rule declared beforehand; the others are shown", ("b-7-slope", "b-7-slope-to-the-end")),
    Finding("left-out-baseline", "Smoothness of untrained filters", "C Sec. 4.1", KINDS[0], _tv,
            "the mean over single filters; the other by `reading=\"pooled\"`", ("c-baseline-quoted", "c-baseline-formula")),
    Finding("left-out-source", "Source or destination", "C Sec. 2.1, Fig. 2", KINDS[2], _spline,
            "sources, as the caption"),
    Finding("left-out-labels", "What random labels are compared with", "C Sec. 5, Fig. 7", KINDS[2],
            lambda: "number of images, augmentation and decay matter as well",
            "both kinds of labels on the same images, by the same recipe"),
)  # fmt: skip


def summary() -> pd.DataFrame:
    """All findings, a line each: anchor, title, place, kind, effect, choice, verdicts (of their claims, without repeats)."""
    judged = claims.evaluate(claims.by_id(*{name: 0 for finding in FINDINGS for name in finding.claims}))
    verdict = judged.set_index("id")["verdict"]
    lines = []
    for finding in FINDINGS:
        found = ", ".join(dict.fromkeys(verdict[name] for name in finding.claims))
        lines.append({"anchor": finding.anchor, "title": finding.title, "place": finding.place, "kind": finding.kind,
                      "effect": finding.effect(), "choice": finding.choice, "verdicts": found})  # fmt: skip
    return pd.DataFrame(lines)
