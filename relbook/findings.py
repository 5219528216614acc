"""What the papers leave out: the list of discrepancies.

A `Finding` is a section of the page: where a paper says something, how large the difference is (computed), what this
book does, and the claims of the ledger that judge it. Not every finding is a slip: most are choices that the
text does not mention.

>>> FINDINGS[0].title, FINDINGS[0].effect()
('Which modes are kept', '6 modes at c = 3 instead of 4')
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from relbook import papers, registry
from relbook.studies.omissions import effects
from relbook.studies.scale_detection import study as line
from relbook.studies.scale_detection import training as ensembles
from relbook.studies.scale_detection.tasks import image_task, line_task
from relbook.studies.stripe import study as stripe
from relbook.studies.zoo import tables as zoo_tables
from relstab import diffeo, models, theory
from relstab.train import recipes

KINDS = ("slip in print", "text and code differ", "left open")
STATISTICS = ("mean", "median", "component_median")


def medians(rows: pd.DataFrame) -> pd.DataFrame:
    """R at the output of every trained network of the zoo by each statistic: dataset, architecture,
    then one a column.
    """
    parts = [
        zoo_tables.outputs(rows, statistic=name)[[*zoo_tables.UNIT, "R"]].assign(statistic=name) for name in STATISTICS
    ]
    table = pd.concat(parts).pivot_table(index=zoo_tables.UNIT, columns="statistic", values="R", dropna=True)
    return table.reindex(columns=STATISTICS).dropna().reset_index()


def largest_factor(table: pd.DataFrame) -> float:
    """The largest factor between two statistics of one network in a table of `medians`; NaN without networks."""
    logs = np.log(table[list(STATISTICS)])
    return float(np.exp((logs.max(axis=1) - logs.min(axis=1)).max())) if len(table) else math.nan


def _text_temperature(cut: int) -> float:
    """T = (8/π³)/c², the bound in B's text."""
    return 8 / math.pi**3 / cut**2


def _fall(rows: pd.DataFrame) -> float:
    """T c² where half of the fields fold at c = 5, over the same at c = 20."""
    plain = effects.boundary(rows)["T c²"]
    return plain[5] / plain[20] if {5, 20} <= set(plain.index) else math.nan


def _labels_changed(_: object) -> float:
    return effects.label_changes(image_task(1, 32, 14, gap=2), 14, 2)


@dataclass(frozen=True)
class Finding:
    """One section of the page.

    Args:
        anchor: of its heading.
        title: the heading.
        place: paper and section.
        kind: of `KINDS`.
        effect: () -> the size of the effect in words and computed numbers.
        choice: what this book does.
        claims: ids of the claims that judge it, of any paper; may be none.
    """

    anchor: str
    title: str
    place: str
    kind: str
    effect: Callable[[], str]
    choice: str
    claims: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"finding {self.anchor}: kind is {self.kind!r}; it must be one of {', '.join(KINDS)}")


def _modes() -> str:
    code, paper = (int(diffeo.kept_modes(3, rule=rule).sum()) for rule in diffeo.RULES)
    return f"{code} modes at c = 3 instead of {paper}"


def _centre() -> str:
    return f"δ = 1 is {diffeo.displacement(diffeo.temperature(1.0, 3, 32), 3, 32, exact=True):.2f} px at c = 3"


def _norm() -> str:
    return f"‖τ‖² = {effects.squared_norm(_text_temperature(30), 30):.1g} where ‖∇τ‖² = 1, at c = 30"


def _blur() -> str:
    return f"a picture changes by {effects.blur(effects.fashion()):.0%} of its norm at T = 0"


def _medians() -> str:
    factor = largest_factor(medians(registry.shown("zoo")))
    return (
        f"{effects.median_ratio():.2f} of the median for a normal response; R changes by a factor of "
        f"{factor:.2f} at most"
    )


def _radius() -> str:
    return f"one radius for all lowers G by {effects.radii(effects.fashion())['lower by']:.0%} (Fashion-MNIST)"


def _one_draw() -> str:
    table = effects.draws(effects.fashion())
    return f"R varies by {table['R'].std() / table['R'].mean():.0%} between draws, for 500 images"


def _batch_norm() -> str:
    table = effects.batch_norm()["R"]
    return f"R at initialisation is {table['of the batch']:.2f} or {table['as stored']:.2f} (narrow VGG11bn)"


def _shuffle() -> str:
    change = effects.kept_geometry("independent")
    return f"inner products of output channels change by 0, or by {change:.1f} of the largest"


def _cosine() -> str:
    recipe = recipes.paper("vgg11_bn", reading="code")
    return f"the last of 250 epochs runs at {recipes.learning_rate(recipe, 249) / recipe.lr:.0%} of the first rate"


def _selection() -> str:
    gain = effects.optimism(effects.selection())
    return (
        f"{100 * gain['gain'].mean():.1f} points, {gain['in deviations'].mean():.1f} standard errors of a test "
        "set (FC-L4)"
    )


def _hidden() -> str:
    count = sum("relu" in name for name in models.build("fc_l4").probe_points)
    return f"{count} hidden layers in FullConn-L4"


def _gap() -> str:
    counts = [int((line_task(1, 32, 11, gap=4, convention=name).labels < 0).sum()) for name in ("paper", "code")]
    return (
        f"{counts[0]} or {counts[1]} far pairs on 32 pixels, g = 4; 2-D labels change in "
        f"{_labels_changed(None):.2%} of moves"
    )


def _diagonal() -> str:
    task = image_task(1, 28, 14, gap=2)
    share = (task.positions[..., 0] == task.positions[..., 1]).any(1).double().mean().item()
    return f"{share:.1%} of the pairs never occur"


def _value() -> str:
    task = image_task(1, 28, 14, gap=2).take(slice(1))
    norms = [task.images(value=value).square().sum().item() for value in (None, 28**2 / 2)]
    return f"‖x‖² is {norms[0]:.0f} or {norms[1]:.0f} on 28 × 28 pixels"


def _rectified() -> str:
    exponent = {flag: effects.exponents(1, rectified=flag)["G"] for flag in (True, False)}
    return f"half the squared norm; exponent of G {exponent[True]:.2f} instead of {exponent[False]:.2f}"


def _clock() -> str:
    setting = line.PAPER[1]
    steps = ensembles.Recipe(learning_rate=0.01, ridge=0.01, clocks=1, limit=1).clock(setting["layers"])
    return (
        f"decay needs {steps:,.0f} steps, {8 * steps / setting['train']:,.0f} epochs, however soon the data are fitted"
    )


def _prop() -> str:
    ratio = theory.diffusion_constant(3) / theory.diffusion_constant(3, version="paper")
    return f"variance {ratio:.2g} times the printed one at F = 3"


def _exponents() -> str:
    one = effects.exponents(1)
    return f"{one['D']:.2f}, {one['G']:.2f}, {one['R']:.2f} for −2, 1, −3 (task 1, layers 2 to 6)"


def _stripe() -> str:
    rows = registry.shown("stripe")
    found = [(stop, stripe.slope(rows, stop=stop)[0]) for stop in (stripe.RULE["stop"], 0.1, 0.0)]
    known = [f"{value:.2f} at {stop:.0%}" for stop, value in found if math.isfinite(value)]
    return "exponent " + ", ".join(known) + " of violated margins"


def _tv() -> str:
    row = effects.roughness().loc["truncated normal"]
    return f"{row['pooled']:.3f} by the formula, {row['slices']:.3f} by single filters"


def _spline() -> str:
    size = effects.source_or_destination()
    return f"{size['difference']:.2f} px of {size['displacement']:.2f} px rms"


FINDINGS = (
    Finding("left-out-modes", "Which modes are kept", "Petrini 2021, Sec. 2.1", KINDS[1], _modes,
            "the code's rule; the text's by `rule=\"paper\"`", ("b-1-nominal-displacement", "b-1-nominal-text")),
    Finding("left-out-nominal", "One pixel that is more than a pixel", "Petrini 2021, Eq. 3", KINDS[2], _centre,
            "δ is nominal, the exact value is given by `exact=True`", ("b-1-log-law", "b-1-norm-c3")),
    Finding("left-out-range", "When fields fold: a logarithm", "Petrini 2021, Sec. 2.2", KINDS[1],
            lambda: f"T c² falls by a factor of {_fall(registry.shown('diffeomorphisms')):.2f} from c = 5 to 20",
            "the code's 4/(π³c² ln c), with the measured chance of a fold",
            ("b-range-local", "b-1-fold-form")),
    Finding("left-out-gradient", "A norm that should be of a gradient", "Petrini 2021, Sec. 2.2", KINDS[2], _norm,
            "‖∇τ‖ throughout"),
    Finding("left-out-folds", "Deformations that are no diffeomorphisms", "Petrini 2021, Fig. 3", KINDS[2],
            lambda: f"{effects.folded(1.0, 15, 32):.0%} of the fields fold at c = 15, δ = 1, n = 32",
            "c = 3; curves at c = 15 are shown with a warning", ("b-1-c15-folds", "b-1-c3-no-fold")),
    Finding("left-out-blur", "An interpolation that blurs", "Petrini 2021, Sec. 2.1", KINDS[2], _blur,
            "as the authors: x is blurred, too, before it is compared"),
    Finding("left-out-median", "A median that is not one", "Petrini 2021, Eq. 4", KINDS[1], _medians,
            "three statistics by name; figures after Petrini 2021 use the code's", ("b-medians-norm", "b-17-order")),
    Finding("left-out-radius", "The radius of the noise", "Petrini 2021, Eq. 4", KINDS[1], _radius,
            "a radius for each image, as the code; the text's by `noise=\"fixed\"`"),
    Finding("left-out-draws", "How many deformations per image", "Petrini 2021, Fig. 3", KINDS[2], _one_draw,
            "one for each of 500 images, the same for all networks"),
    Finding("left-out-batch-norm", "Batch normalisation before training", "Petrini 2021, Fig. 3, Tomasini 2023, Fig. 3",
            KINDS[2], _batch_norm,
            "statistics of the batch before training, as the code"),
    Finding("left-out-in-place", "Layers that overwrite each other", "Tomasini 2023, Fig. 3, Petrini 2021, Fig. 14",
            KINDS[2],
            lambda: "what is read as batch normalisation is the layer after it",
            "values are read at once, after the ReLU of each block"),
    Finding("left-out-shuffle", "How channels are shuffled", "Tomasini 2023, Sec. 2", KINDS[2], _shuffle,
            "the code's, averaged over several draws"),
    Finding("left-out-cosine", "A cosine that climbs again", "Tomasini 2023, App. B.1", KINDS[2], _cosine,
            "annealed to zero at the end; the other by `reading=\"code\"`"),
    Finding("left-out-selection", "Early stopping on the test set", "Tomasini 2023, App. B.1", KINDS[1], _selection,
            "the last epoch, or a validation set of its own"),
    Finding("left-out-fc", "Three hidden layers, and what a step means", "Petrini 2021, Sec. 3", KINDS[1], _hidden,
            "as the code: L counts weight layers, NTK parametrisation"),
    Finding("left-out-gap", "The gap, and who crosses it", "Tomasini 2023, Sec. 3, App. B.2", KINDS[1], _gap,
            "the text's gap, ξ ± g/2", ("a-5-labels",)),
    Finding("left-out-diagonal", "Pixels that are never lit", "Tomasini 2023, Sec. 3, Fig. 6", KINDS[1], _diagonal,
            "all pairs, on 32 × 32 pixels"),
    Finding("left-out-value", "How bright a pixel is", "Tomasini 2023, Sec. 4", KINDS[2], _value,
            "√(L/2), the text's, in one and two dimensions"),
    Finding("left-out-rectified", "Noise that has lost half its power", "Tomasini 2023, Eq. 1, App. B.2", KINDS[2],
            _rectified,
            "rectified at the input for Tomasini 2023, Fig. 9, as the appendix says",
            ("a-9-unrectified", "a-9-unrectified-all")),
    Finding("left-out-collisions", "Pixels that meet", "Tomasini 2023, Sec. 4", KINDS[2],
            lambda: f"{effects.collisions(line_task(1, 32, 11, gap=4)):.1%} of the moves in task 1",
            "brightness adds up, and the ring is closed"),
    Finding("left-out-mean", "The mean channel", "Tomasini 2023, Fig. 9", KINDS[1],
            lambda: f"{effects.mean_channels():.2f} of the norm, before training",
            "activations are averaged; the network of mean filters by `mean_channel`"),
    Finding("left-out-clock", "Five hundred interpolation times", "Tomasini 2023, App. B.2", KINDS[2], _clock,
            "training is measured in multiples of the time of decay"),
    Finding("left-out-proposition", "The constants of Proposition A.1", "Tomasini 2023, App. A", KINDS[0], _prop,
            "D = (F² − 1)/24, drift ½ for even F",
            ("a-prop1-variance", "a-prop1-drift")),
    Finding("left-out-exponents", "Exponents of small networks", "Tomasini 2023, Eqs. 5 to 9", KINDS[2], _exponents,
            "comparison with the exact curve; laws are drawn as limits",
            ("a-9-exponents-D", "a-9-exponents-G", "a-9-top-trained-G", "a-9-top-trained-R", "a-9-bottom-trained-G")),
    Finding("left-out-stop", "When to stop in the stripe model", "Petrini 2021, Sec. 6", KINDS[2], _stripe,
            "a rule declared beforehand; the others are shown", ("b-7-slope", "b-7-slope-to-the-end")),
    Finding("left-out-baseline", "Smoothness of untrained filters", "Ruderman 2018, Sec. 4.1", KINDS[2], _tv,
            "the mean over single filters; the other by `reading=\"pooled\"`", ("c-baseline-quoted",)),
    Finding("left-out-source", "Source or destination", "Ruderman 2018, Sec. 2.1, Fig. 2", KINDS[2], _spline,
            "sources, as the caption"),
    Finding("left-out-labels", "What random labels are compared with", "Ruderman 2018, Sec. 5, Fig. 7", KINDS[2],
            lambda: "number of images, augmentation and decay matter as well",
            "both kinds of labels on the same images, by the same recipe"),
)  # fmt: skip


def summary() -> pd.DataFrame:
    """All findings, a line each: anchor, title, place, kind, effect, choice, verdicts (of their claims,
    without repeats).
    """
    judged = papers.evaluate(papers.by_id(*{name: 0 for finding in FINDINGS for name in finding.claims}))
    verdict = judged.set_index("id")["verdict"]
    lines = []
    for finding in FINDINGS:
        found = ", ".join(dict.fromkeys(verdict[name] for name in finding.claims))
        lines.append({"anchor": finding.anchor, "title": finding.title, "place": finding.place, "kind": finding.kind,
                      "effect": finding.effect(), "choice": finding.choice, "verdicts": found})  # fmt: skip
    return pd.DataFrame(lines)
