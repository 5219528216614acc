"""What the figures of networks share: names for people, readable logarithmic axes, and empty panels.

>>> label("vgg11_bn"), label("cifar_resnet20"), label("efficientnet_b0")
('VGG11bn', 'ResNet20', 'EfficientNetB0')
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import SupportsIndex

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from relbook.drawing import style

LABELS = {"fc_l2": "FC-L2", "fc_l4": "FC-L4", "fc_l6": "FC-L6", "lenet": "LeNet", "alexnet": "AlexNet",
          "mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "fashion-mini": "Fashion-MNIST\n(3,000 images)",
          "cifar10": "CIFAR-10", "cifar10-jpeg": "CIFAR-10\n(JPEG)",
          "cifar10-lossless": "CIFAR-10\n(by others)", "imagenet": "ImageNet"}  # fmt: skip


def label(name: str) -> str:
    """An architecture's or a data set's name for people."""
    if name in LABELS:
        return LABELS[name]
    name = name.removeprefix("cifar_")
    families = {
        "vgg": "VGG",
        "resnet": "ResNet",
        "efficientnet_b": "EfficientNetB",
        "efficientnet_lite": "EfficientNet-Lite",
    }
    for prefix, written in families.items():
        if name.startswith(prefix):
            return written + name.removeprefix(prefix).replace("_bn", "bn")
    return name


def net(architecture: str, width: float | int) -> str:
    """Architecture and, where it is not one, width factor.

    >>> net("lenet", 1.0), net("vgg11_bn", 0.25)
    ('LeNet', 'VGG11bn ×1/4')
    """
    return label(architecture) + ("" if width == 1 else f" ×{Fraction(width).limit_denominator(100)}")


def look(architecture: str) -> tuple[str, str, str]:
    """Family name, colour and marker of an architecture."""
    return style.FAMILIES[style.family(architecture.removeprefix("cifar_"))]


def shade(colour: str | tuple, index: int) -> str:
    """The colour of the `index`-th member of a family: lighter from one to the next.

    >>> shade("#000000", 0), shade("#000000", 1)
    ('#000000', '#404040')
    """
    white = 1 - 0.75**index
    return to_hex([part + (1 - part) * white for part in to_rgb(colour)])


def same(table: pd.DataFrame, dataset: str, architecture: str, width: float | int) -> pd.DataFrame:
    """The lines of one network in a table."""
    chosen = (table["dataset"] == dataset) & (table["architecture"] == architecture) & (table["width"] == width)
    return table[chosen]


def nothing(ax: Axes, text: str = "no networks of this kind at this scale") -> None:
    """Say in an empty panel that there is nothing to show."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=style.GREY)
    ax.axis("off")


def in_order(name: str) -> int:
    """A key for sorting: data sets as in `LABELS`, other names after them as they come.

    >>> sorted(["cifar10", "mnist"], key=in_order)
    ['mnist', 'cifar10']
    """
    return list(LABELS).index(name) if name in LABELS else len(LABELS)


def outer(axes: np.ndarray, xlabel: str, ylabel: str) -> None:
    """Label a grid of panels that share their axes: the lowest panel of each column and the first of each row.

    Panels of which `nothing` was said do not count.
    """
    for column in axes.T:
        for ax in [ax for ax in column if ax.axison][-1:]:
            ax.set_xlabel(xlabel)
            ax.tick_params(labelbottom=True)
    for row in axes:
        for ax in [ax for ax in row if ax.axison][:1]:
            ax.set_ylabel(ylabel)
            ax.tick_params(labelleft=True)


def legend(fig: Figure, handles: Sequence, columns: int) -> None:
    """A legend below the figure, each name once."""
    named = {handle.get_label(): handle for handle in handles}
    fig.legend(handles=list(named.values()), loc="outside lower center", ncols=columns)


# Where a name may stand beside its point: 0, -1, 1, -2, ... lines up, and so many points away.
STEPS = sorted(range(-5, 6), key=abs)
PLACES = [(side * away, step * 13) for step in STEPS for away in (8, 30, 60) for side in (1, -1)]
HALO = [withStroke(linewidth=2.5, foreground="white")]


def name_points(ax: Axes, points: np.ndarray, names: Sequence, *, size: float | int = 9) -> None:
    """Write names beside points, each where it hides neither a point nor another name; a line leads there.

    Args:
        points: [n, 2] in data units.

    Call it when everything else is drawn. A name without a place is left out.
    """
    ax.figure.draw_without_rendering()  # settles the layout, which the places depend on
    inch = ax.figure.dpi / 72
    pixels = ax.transData.transform(points)
    frame = ax.get_window_extent()
    taken = [Bbox.from_bounds(x - 5 * inch, y - 5 * inch, 10 * inch, 10 * inch) for x, y in pixels]
    for (x, y), point, name in zip(pixels, points, names, strict=True):
        wide, high = 0.56 * size * len(name) * inch, 1.15 * size * inch
        for right, up in PLACES:
            left = x + right * inch - (wide if right < 0 else 0)
            box = Bbox.from_bounds(left, y + up * inch - high / 2, wide, high)
            inside = box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                line = {"arrowstyle": "-", "color": style.GREY, "lw": 0.6, "shrinkA": 0, "shrinkB": 4}
                ax.annotate(
                    name,
                    point,
                    xytext=(right, up),
                    textcoords="offset points",
                    fontsize=size,
                    ha="left" if right > 0 else "right",
                    va="center",
                    arrowprops=line,
                    path_effects=HALO,
                )
                break


def drawn(function: Callable) -> Callable:
    """Decorator of a figure function: the house style, and few, plain numbers on logarithmic axes.

    An axis whose ticks the function has named itself keeps them.
    """

    @functools.wraps(function)
    def inner(*arguments, **options) -> Figure:
        with style.applied():
            fig = function(*arguments, **options)
        for ax in fig.axes:
            for axis in (ax.xaxis, ax.yaxis):
                if axis.get_scale() == "log" and not isinstance(axis.get_major_locator(), FixedLocator):
                    _plain(axis)
        return fig

    return inner


def _plain(axis: Axis) -> None:
    low, high = axis.get_view_interval()
    inches = axis.axes.get_position().width * axis.axes.figure.get_figwidth()
    narrow = axis.axis_name == "x" and inches < 2.5  # room for fewer numbers
    fine = (1, 1.5, 2, 3, 4, 6, 8) if inches < 2.5 else range(1, 10)
    choices = ((1,), (1, 3), (1, 2, 5), fine)
    steps = next((steps for steps in choices if _inside(low, high, steps) >= (2 if narrow else 3)), fine)
    axis.set_major_locator(LogLocator(subs=steps, numticks=4 if narrow else 9))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def _inside(low: float | int, high: float | int, steps: Iterable[float | int]) -> SupportsIndex:
    """How many of the numbers step x 10^k lie between low and high."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    return sum(low <= step * 10.0**k <= high for k in decades for step in steps)
