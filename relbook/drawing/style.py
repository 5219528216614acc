"""One look for every figure: sizes, fonts, one colour and one marker per architecture family.

Figures are built without pyplot, so that nothing is global: a function decorated with ``@styled`` opens
``fig, axes = style.figure(1, 2)``, draws and returns ``fig``. The palette
is Okabe and Ito's, distinguishable with the common forms of colour blindness; since grey print loses hue,
every family has a marker of its own and every condition a line style.

What a stroke means is the same in the whole book (`STROKES`, and `PAPER`, `CODE`, `OTHERS` below); a figure takes
line styles, hollow and halved symbols from here only, and hatches nothing (a test holds it). An order, as that of
widths or cut-offs, is told by shades (`graded`), never by dashes.
"""

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

RC = {
    "font.size": 11.0,
    "axes.titlesize": 11.5,
    "axes.labelsize": 11.5,
    "legend.fontsize": 10.5,
    "xtick.labelsize": 11.0,
    "ytick.labelsize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "relstab",
    "figure.dpi": 120,
}

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PURPLE, GREY = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#B8A800", "#0072B2", "#D55E00", "#CC79A7", "#7F7F7F",
)  # fmt: skip

NAVY = "#08306b"  # the first of a graded blue

FAMILIES = {
    "fc": ("fully connected", BLACK, "s"),
    "lenet": ("LeNet", GREY, "v"),
    "alexnet": ("AlexNet", YELLOW, "^"),
    "vgg": ("VGG", ORANGE, "o"),
    "vgg_bn": ("VGG + batch norm", RED, "D"),
    "resnet": ("ResNet", BLUE, "P"),
    "efficientnet": ("EfficientNet", GREEN, "X"),
    "other": ("other", PURPLE, "*"),
}

QUANTITIES = {
    "D": (RED, "o", r"$D_f$, diffeomorphisms"),
    "G": (BLUE, "s", r"$G_f$, noise"),
    "R": (GREEN, "D", r"$R_f = D_f / G_f$"),
}


class Stroke(NamedTuple):
    """A condition of a network: its line, how its symbol is filled ("full", "none" or "left"),
    its words in a legend.
    """

    line: str | tuple
    fill: str
    words: str


STROKES = {
    "trained": Stroke("-", "full", "trained"),
    "init": Stroke((0, (2, 1.5)), "none", "at initialisation"),
    "shuffled": Stroke((0, (5, 1.5, 1, 1.5)), "none", "channels shuffled"),
    "plain": Stroke("-", "full", "without crops and flips"),
    "augmented": Stroke((0, (7, 2)), "left", "with crops and flips"),
}
PAPER, CODE = (0, (1, 1.6)), (0, (5, 1.2, 1, 1.2, 1, 1.2))  # what a paper states, what its code does
OTHERS = {"mec": BLACK, "mew": 1.1}  # rim of a network that others trained
RING = {"marker": "o", "ls": "", "mec": BLACK, "mfc": "none", "mew": 1.2, "ms": 10}  # around one that sticks out
GUIDE = {"color": GREY, "lw": 0.8, "zorder": 0}  # a value to compare with, as R = 1


def stroke(condition: str, colour: str) -> dict:
    """Options of `plot` for a condition of `STROKES` in a colour.

    >>> stroke("init", BLUE)["mfc"], stroke("augmented", BLUE)["fillstyle"], stroke("trained", BLUE)["ls"]
    ('white', 'left', '-')
    """
    line, fill, _ = STROKES[condition]
    face = {
        "full": {"mfc": colour},
        "none": {"mfc": "white"},
        "left": {"mfc": colour, "fillstyle": "left", "markerfacecoloralt": "white"},
    }[fill]
    return {"color": colour, "ls": line, **face}


def key(*conditions: str, marker: str = "o") -> list:
    """Handles of a legend that explain conditions, in grey.

    >>> [handle.get_label() for handle in key("trained", "init")]
    ['trained', 'at initialisation']
    """
    return [Line2D([], [], marker=marker, label=STROKES[name].words, **stroke(name, GREY)) for name in conditions]


def graded(colour: str, count: int) -> list[str]:
    """Colours of an order of `count` things, the first the colour itself, then lighter ones, still visible on white.

    >>> graded("#000000", 3)
    ['#000000', '#4f4f4f', '#9e9e9e']
    """
    rgb, steps = to_rgb(colour), max(count - 1, 1)
    return [to_hex([part + (1 - part) * 0.62 * index / steps for part in rgb]) for index in range(max(count, 0))]


def family(architecture: str) -> str:
    """The family of an architecture name: 'vgg11_bn' -> 'vgg_bn', 'resnet18' -> 'resnet'.

    >>> family("vgg11_bn"), family("fc_l4"), family("unheard-of")
    ('vgg_bn', 'fc', 'other')
    """
    if architecture.startswith("vgg"):
        return "vgg_bn" if architecture.endswith("bn") else "vgg"
    return next((name for name in FAMILIES if architecture.startswith(name)), "other")


def signed(value: float) -> str:
    """A correlation with its sign, a minus and not a hyphen; a dash where there is none.

    >>> signed(0.5), signed(-0.25), signed(float("nan"))
    ('+0.50', '−0.25', '–')
    """
    return f"{value:+.2f}".replace("-", "−") if math.isfinite(value) else "–"


@contextmanager
def applied() -> Iterator[None]:
    """The house style for whatever is drawn inside."""
    with mpl.rc_context(RC):
        yield


def styled(function: Callable) -> Callable:
    """Decorator: run a figure function in the house style."""

    @functools.wraps(function)
    def inner(*arguments, **options) -> Figure:
        with applied():
            return function(*arguments, **options)

    return inner


def figure(
    rows: int = 1, columns: int = 1, *, width: float | int = 6.6, height: float | None = None, **options: Any
) -> tuple:
    """A new Figure and its axes; width and height in inches. Call it in a `styled` function.

    In a text column 6.6 inches wide 11 points have the size of the text on a wide screen.
    """
    fig = Figure(figsize=(width, height or 2.9 * rows), layout="constrained")
    return fig, fig.subplots(rows, columns, **options)
