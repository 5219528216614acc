"""Claims of paper A, Secs. 3 and 4 and App. A: scale detection on a line, its theory and trained networks (Fig. 9).

Intervals were set before the runs they judge. Where rows hold networks of several widths, the worst width is
judged. Claims of pure theory have no study: they are judged by exact sums, without rows.
"""

import math

import numpy as np

from relbook.claims import Claim, Interval, everywhere, within
from relbook.studies.scale_detection import study
from relstab import theory
from relstab.data.scale_detection import line_task, translations
from relstab.theory.diffusion import walk

LAYERS = {1: "layers 2 to 5", 2: "A = 2 to 8"}
PLACE = {1: "top", 2: "bottom"}
RATIOS = {
    "D": {"tiny": Interval(0.85, 1.25), "laptop": within(1.0, 0.12), "gpu": within(1.0, 0.08), "paper": within(1.0, 0.08)},
    "G": {"tiny": Interval(0.75, 1.15), "laptop": within(1.0, 0.15), "gpu": within(1.0, 0.08), "paper": within(1.0, 0.08)},
}  # fmt: skip


def _claim(id_, figure, statement, paper_value, quantity, measure, tolerance, **options):
    return Claim(id=id_, paper="tomasini2023", figure=figure, statement=statement, paper_value=paper_value,
                 quantity=quantity, measure=measure, tolerance=tolerance, **options)  # fmt: skip


def _worst(task, columns, tolerance):
    """Of the columns of `study.summary` for one task, any width, the value farthest out in the interval."""

    def measure(rows):
        if task not in set(rows.task):
            return math.nan
        table = study.summary(rows[rows.task == task])
        interval = tolerance[rows.scale.iloc[0]]
        if interval.high == math.inf:
            return table[columns].min(axis=None)
        if interval.low == -math.inf:
            return table[columns].max(axis=None)
        values = table[columns].to_numpy().ravel()
        return values[np.abs(values - (interval.low + interval.high) / 2).argmax()]

    return measure


def _share(task, kind):
    """The smallest share, over widths, of members that are `kind`."""

    def measure(rows):
        if task not in set(rows.task):
            return math.nan
        table = study.summary(rows[rows.task == task])
        return (table[kind] / table.members).min()

    return measure


def _exponent(quantity, layers, *network, window, **options):
    """The exponent of D, G or R in A_k, fitted to the exact theory over layers `window`."""

    def measure(_):
        table = theory.homogeneous_sensitivities(layers, *network, **options)
        table = table[table.k.between(*window)]
        return np.polyfit(np.log(table.A), np.log(table[quantity]), 1)[0]

    return measure


def _labels_kept(_):
    """Share of inputs and moves of the paper's task 1 that end in the other class."""
    size = study.PAPER[1]
    task = line_task(1, size["length"], size["xi"], size["gap"])
    crossed = 0.0
    for probability, positions in translations(task):
        apart = (positions[:, 0, 0] - positions[:, 1, 0]).abs()
        distance = apart.minimum(size["length"] - apart)
        near = distance < size["xi"] - size["gap"] / 2
        far = distance >= size["xi"] + size["gap"] / 2
        crossed += probability * ((task.labels > 0) & far | (task.labels < 0) & near).double().mean().item()
    return crossed


def _moments(layers, filter_size):
    sites, law = walk(layers, filter_size)
    mean = sites @ law
    return mean, (sites - mean) ** 2 @ law


def _variance_over_paper(filter_size):
    """Variance a layer of the walk over 2 D of Prop. A.1 as printed."""
    return lambda _: (
        _moments(1, filter_size)[1] / (2 * theory.diffusion_constant(filter_size, version="paper"))
    )


def _gaussian_error(_):
    """Largest error of the Gaussian with variance k (F² - 1)/12 over its peak at k = 40, worst of six sizes."""
    rows = theory.walk_and_gaussians(40, (2, 3, 4, 5, 7, 9))
    error = (rows.exact - rows.walk).abs().groupby(rows.filter_size).max()
    return (error / rows.walk.groupby(rows.filter_size).max()).max()


SECTION_3 = [
    _claim(
        "a-5-gap", "fig-a-5",
        "With the gap g, labels of task 1 are invariant to displacements of the pixels by less than it.",
        "invariant", "share of inputs and moves by one pixel that reach the other class, the paper's sizes",
        _labels_kept, everywhere(Interval(0.0, 0.0)),
    ),
]  # fmt: skip

SECTION_4 = [
    _claim(
        "a-8-diffusion", "fig-a-8",
        "At stride 1 homogeneous filters make a pixel diffuse: its width grows as the square root of depth.",
        "exponent 1/2", "exponent of the width in depth, from layer 20 to 40, F = 5",
        lambda _: math.log2(_moments(40, 5)[1] / _moments(20, 5)[1]) / 2, everywhere(within(0.5, 1e-6)),
    ),
    _claim(
        "a-9-exponents-D", "fig-a-9-exponents",
        "On a large ring the exact theory has the exponent of Eq. 5.",
        "-2", "exponent of D, L = 1024, F = 3, layers 25 to 398",
        _exponent("D", 398, 3, 1, 1024, 1, 352, 128, window=(25, 398)), everywhere(Interval(-2.08, -1.92)),
    ),
    _claim(
        "a-9-exponents-G", "fig-a-9-exponents",
        "On a large ring the exact theory has the exponent of Eq. 7.",
        "1", "exponent of G, L = 1024, F = 3, layers 25 to 398",
        _exponent("G", 398, 3, 1, 1024, 1, 352, 128, window=(25, 398)), everywhere(Interval(0.94, 1.06)),
    ),
    _claim(
        "a-9-exponents-R", "fig-a-9-exponents",
        "On a large ring the exact theory has the exponent of their ratio.",
        "-3", "exponent of R, L = 1024, F = 3, layers 25 to 398",
        _exponent("R", 398, 3, 1, 1024, 1, 352, 128, window=(25, 398)), everywhere(Interval(-3.12, -2.88)),
    ),
    _claim(
        "a-9-exponents-G-unrectified", "fig-a-9-exponents",
        "Without rectification the noise averages out and G at stride F stays constant.",
        "0", "exponent of G, L = 128, stride 2, A = 2 to 16, noise of both signs, classes alike",
        _exponent("G", 4, 2, 2, 128, 2, 32, window=(1, 4), rectified=False, balanced=True), everywhere(Interval(-0.05, 0.05)),
    ),
    _claim(
        "a-9-exponents-bottom-free", "fig-a-9-exponents",
        "If pixels move freely, D at stride F falls as Eq. 8 says.",
        "-1", "exponent of D, L = 128, stride 2, A = 2 to 16, free moves, classes alike",
        _exponent("D", 4, 2, 2, 128, 2, 32, window=(1, 4), balanced=True), everywhere(within(-1.0, 0.1)),
    ),
]  # fmt: skip

_SMALL = (
    "an asymptotic law, not yet reached at the size of the experiment; the exact theory gives this exponent"
)
_T1 = {"layers": 6, "network": (3, 1, 32, 1, 11, 4), "window": (2, 6), "options": {}}
_T2 = {"layers": 4, "network": (2, 2, 128, 2, 32), "window": (1, 4), "options": {"moves": "constrained"}}
for _task, _setting, _laws in (
    (1, _T1, {"D": (-2.0, (-1.8, -1.55)), "G": (1.0, (0.75, 0.895)), "R": (-3.0, (-2.65, -2.4))}),
    (2, _T2, {"D": (-1.0, (-1.35, -1.2)), "G": (1.0, (0.65, 0.8)), "R": (-2.0, None)}),
):
    _where = "L = 32, F = 3, layers 2 to 6" if _task == 1 else "L = 128, F = 2, A = 2 to 16, the code's moves"
    SECTION_4 += [
        _claim(
            f"a-9-{PLACE[_task]}-law-{_quantity}", f"fig-a-9-{PLACE[_task]}",
            f"In task {_task} the law of {_quantity} describes networks of the experiment's size.",
            f"exponent {_power:g}", f"exponent of {_quantity} in the exact theory, {_where}",
            _exponent(_quantity, _setting["layers"], *_setting["network"], window=_setting["window"], **_setting["options"]),
            everywhere(Interval(_power - 0.1, _power + 0.1)),
            corrected=_true and (Interval(*_true), _SMALL),
        )
        for _quantity, (_power, _true) in _laws.items()
    ]  # fmt: skip

_SLOPES = {1: Interval(-2.0, -1.35), 2: Interval(-1.6, -1.1)}
for _task in (1, 2):
    _figure = f"fig-a-9-{PLACE[_task]}"
    for _quantity, _name in (("D", "diffeomorphisms"), ("G", "noise")):
        SECTION_4.append(
            _claim(
                f"a-9-{PLACE[_task]}-{_quantity}", _figure,
                f"In task {_task} trained networks have the sensitivity to {_name} of homogeneous filters.",
                "curves on the prediction", f"measured over exact {_quantity}, median over seeds, worst of {LAYERS[_task]}",
                _worst(_task, [f"{_quantity}_low", f"{_quantity}_high"], RATIOS[_quantity]), RATIOS[_quantity],
                study="scale_detection",
            )
        )  # fmt: skip
    SECTION_4 += [
        _claim(
            f"a-9-{PLACE[_task]}-slope", _figure,
            f"In task {_task} training makes D fall with the effective receptive field, as a power of it.",
            "-2" if _task == 1 else "-1", "exponent of D in A, median over seeds",
            _worst(_task, ["D_slope"], everywhere(_SLOPES[_task])), everywhere(_SLOPES[_task]),
            study="scale_detection",
        ),
        _claim(
            f"a-9-{PLACE[_task]}-init", _figure,
            f"In task {_task} it is training that makes the network insensitive to diffeomorphisms.",
            "gray far above blue", f"D after over before training, layer {6 if _task == 1 else 4}, median over seeds",
            _worst(_task, ["trained_over_init"], everywhere(Interval(high=0.25))), everywhere(Interval(high=0.25)),
            study="scale_detection",
        ),
        _claim(
            f"a-9-{PLACE[_task]}-mean-channel", _figure,
            f"In task {_task} all channels of the first layers behave as their mean.",
            "curves overlap", f"D of the mean channel over D, worst of layers 1 to {5 if _task == 1 else 4}, median over seeds",
            _worst(_task, ["mean_low", "mean_high"], everywhere(Interval(0.85, 1.15))), everywhere(Interval(0.85, 1.15)),
            study="scale_detection",
        ),
        _claim(
            f"a-9-{PLACE[_task]}-error", _figure,
            f"In task {_task} trained networks generalise perfectly.",
            "test error 0", "share of seeds with a test error of at most 1 %",
            _share(_task, "without_error"), everywhere(Interval(low=0.75)), study="scale_detection",
        ),
        _claim(
            f"a-9-seeds-{PLACE[_task]}", f"fig-a-9-seeds-{PLACE[_task]}",
            f"In task {_task} training ends at the solution with homogeneous filters, nearly whatever the seed.",
            "all seeds", "share of seeds within 25 % of the exact D and G",
            _share(_task, "homogeneous"), dict.fromkeys(("laptop", "gpu", "paper"), Interval(low=0.8)),
            study="scale_detection", not_testable="four seeds are too few for a share",
        ),
    ]  # fmt: skip

APPENDIX_A = [
    _claim(
        f"a-prop1-variance-{_size}", "fig-a-prop1",
        f"The diffusion constant of Prop. A.1 is that of the walk, F = {_size}.",
        "1", f"variance a layer over 2 D as printed, F = {_size}",
        _variance_over_paper(_size), everywhere(within(1.0, 0.01)),
        corrected=(within(_ratio, 0.005), "the variance of a step uniform on F sites is (F² - 1)/12, so D = (F² - 1)/24"),
    )
    for _size, _ratio in ((2, 3 / 4), (3, 3 / 2), (4, 5 / 6), (5, 15 / 16))
]  # fmt: skip
APPENDIX_A += [
    _claim(
        "a-prop1-drift", "fig-a-prop1",
        "The drift of Prop. A.1 is that of the walk, F = 2.",
        "-1/4 pixel a layer", "minus the mean step, F = 2",
        lambda _: -_moments(1, 2)[0], everywhere(within(-0.25, 0.01)),
        corrected=(within(-0.5, 0.01), "the mean of a step uniform on an even number of sites is half a pixel"),
    ),
    _claim(
        "a-prop1-gaussian", "fig-a-prop1",
        "A pixel becomes a Gaussian.",
        "in the limit of many layers", "largest error after 40 layers over the peak, corrected constants, six filter sizes",
        _gaussian_error, everywhere(Interval(0.0, 0.01)),
    ),
]  # fmt: skip
