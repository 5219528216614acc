"""One look for every figure: sizes, fonts, one colour and one marker per architecture family.

Figures are built without pyplot, so that nothing is global: a function decorated with ``@styled`` opens
``fig, axes = style.figure(1, 2)``, draws and returns ``fig``. The palette
is Okabe and Ito's, distinguishable with the common forms of colour blindness; since grey print loses hue,
every family has a marker of its own and every condition a line style.
"""

import functools
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.figure import Figure

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

QUANTITIES = {"D": (RED, "o", r"$D_f$, diffeomorphisms"), "G": (BLUE, "s", r"$G_f$, noise"),
              "R": (GREEN, "D", r"$R_f = D_f / G_f$")}  # fmt: skip

TRAINED, INITIAL, SHUFFLED = "-", (0, (2, 1.5)), (0, (5, 1.5, 1, 1.5))  # line styles of the three conditions


def family(architecture):
    """The family of an architecture name: 'vgg11_bn' -> 'vgg_bn', 'resnet18' -> 'resnet'.

    >>> family("vgg11_bn"), family("fc_l4"), family("unheard-of")
    ('vgg_bn', 'fc', 'other')
    """
    if architecture.startswith("vgg"):
        return "vgg_bn" if architecture.endswith("bn") else "vgg"
    return next((name for name in FAMILIES if architecture.startswith(name)), "other")


@contextmanager
def applied():
    """The house style for whatever is drawn inside."""
    with mpl.rc_context(RC):
        yield


def styled(function):
    """Decorator: run a figure function in the house style."""

    @functools.wraps(function)
    def inner(*arguments, **options):
        with applied():
            return function(*arguments, **options)

    return inner


def figure(rows=1, columns=1, *, width=6.6, height=None, **options):
    """A new Figure and its axes; width and height in inches. Call it in a `styled` function.

    In a text column 6.6 inches wide 11 points have the size of the text on a wide screen.
    """
    fig = Figure(figsize=(width, height or 2.9 * rows), layout="constrained")
    return fig, fig.subplots(rows, columns, **options)
