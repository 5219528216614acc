"""What a notebook computed itself, small and grey, in the panels of a figure of published rows.

Both figures come from the same function. A panel of the one belongs to the panel of the other that is about the same
thing: the same title, its own or that of its column, without width, size of the set and statistics; where titles say
nothing, the same place and label of x. Curves and marks go over, as they stand in the units of the axes; lines that
only guide the eye do not.

>>> from matplotlib.figure import Figure
>>> published, computed = Figure(), Figure()
>>> for fig, R in ((published, 0.4), (computed, 0.7)):
...     line = fig.subplots().plot([1], [R], "o", color="#0072B2", label="LeNet")
>>> beside(published, computed, "computed here")
1
>>> [(line.get_color(), line.get_ydata().tolist()) for line in published.axes[0].lines]
[('#0072B2', [0.4]), ('#7F7F7F', [0.7])]
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from relbook.drawing import style

SIZE = 3.0  # of a mark, in points
_LEFT_OUT = re.compile(
    r" ×[0-9/.]+(?:, ×[0-9/.]+)*|\s*\([0-9,]+ images\)|:.*$|, (?:P = |[0-9]+ networks|correlation).*$"
)
_STATISTICS = re.compile(r"^\s*(?:[0-9]|all |trained here: |(?:rank )?correlation)", re.IGNORECASE)


def beside(fig: Figure, other: Figure, label: str) -> int:
    """Draw the curves and marks of figure `other` into `fig`, small and grey; the number of those drawn.

    Args:
        fig: The figure that readers see; keeps its own marks, in front.
        other: A figure by the same function, from other rows.
        label: What the legend calls the grey ones.
    """
    panels, count = _panels(fig), 0
    with style.applied():
        for key, ax in _panels(other).items():
            if key in panels:
                count += _copied(panels[key], ax, label)
        if count:
            _legend(fig, label)
    return count


def _panels(fig: Figure) -> dict[tuple, Axes]:
    """The panels with axes by what they are about: {(words of the title, label of x, number of equal ones): axes}."""
    found = {}
    for ax in fig.axes:
        if not (ax.axison and ax.get_visible()) or ax.images:
            continue
        subject = _subject(ax)
        key = (subject, "" if subject else ax.get_xlabel().partition("\n")[0])
        number = sum(known[:2] == key for known in found)
        found[*key, number] = ax
    return found


def _subject(ax: Axes) -> str:
    title = (_title(ax) or _title(_top(ax))).replace("\n", ", ")
    return "" if _STATISTICS.match(title) else _LEFT_OUT.sub("", title).strip(" ,")


def _title(ax: Axes) -> str:
    return ax.get_title() or ax.get_title(loc="left")


def _top(ax: Axes) -> Axes:
    """The uppermost panel of the same column, which bears the title of all below; the panel itself if there is none."""
    spec = ax.get_subplotspec()
    if spec is None:
        return ax
    column = [
        (one.rowspan.start, other)
        for other in ax.figure.axes
        if (one := other.get_subplotspec()) is not None
        and one.get_gridspec() is spec.get_gridspec()
        and one.colspan.start == spec.colspan.start
    ]
    return min(column, key=lambda pair: pair[0])[1]


def _copied(ax: Axes, other: Axes, label: str) -> int:
    mine = [line.get_xydata() for line in ax.lines if line.get_transform() == ax.transData]
    limits, count = (ax.get_xlim(), ax.get_ylim()), 0
    shift, drawn = _names(other, ax), []
    for series, x, y, marker, dash in _marks(other):
        x, kept = shift(np.asarray(x, float))
        points = np.column_stack([x, np.asarray(y, float)])[kept]
        if not len(points) or not np.isfinite(points).any() or any(_same(points, known) for known in mine):
            continue
        look = {"marker": marker, "ls": dash, "ms": SIZE, "mew": float(marker == "_")}
        ax.plot(*points.T, **look, color=style.GREY, lw=0.8, zorder=1, label=f"_{series}{label}")
        drawn.append(points)
        count += 1
    if drawn:
        points = np.concatenate(drawn)
        for axis, (low, high), values in zip("xy", limits, points.T, strict=True):
            _widen(ax, axis, low, high, points.ravel() if limits[0] == limits[1] else values)  # a square stays one
    return count


def _same(points: np.ndarray, known: np.ndarray) -> bool:
    """Whether two curves differ by the rounding of another machine only; drawn once, they would hide each other."""
    return points.shape == known.shape and np.allclose(points, known, rtol=1e-3, atol=1e-6, equal_nan=True)


def _widen(ax: Axes, axis: str, low: float | int, high: float | int, values: np.ndarray) -> None:
    """Limits that hold the old ones and the new values, with a little room; an axis of names keeps its own."""
    log = getattr(ax, f"get_{axis}scale")() == "log"
    values = values[np.isfinite(values) & ((values > 0) | (not log))]
    if not len(values) or (low <= values.min() and values.max() <= high) or low > high:
        getattr(ax, f"set_{axis}lim")(low, high)
        return
    ends = np.array([min(low, values.min()), max(high, values.max())])
    room = 0.04 * (np.log(ends[1] / ends[0]) if log else ends[1] - ends[0])
    outside = np.array([-room * (ends[0] < low), room * (ends[1] > high)])
    getattr(ax, f"set_{axis}lim")(*(ends * np.exp(outside) if log else ends + outside))


def _marks(ax: Axes) -> Iterator[tuple]:
    """(series, x, y, marker, dashes) of what stands for data: coloured lines, any marks, scattered points,
    tops of bars.
    """
    for line in ax.lines:
        marked = line.get_marker() not in ("None", None, "", " ")
        guide = not marked and to_hex(line.get_color()).upper() in (style.GREY, style.BLACK, "#808080")
        if line.get_transform() == ax.transData and not guide:
            yield _series(line), *line.get_data(), "o" if marked else "", line.get_linestyle()
    for found in ax.collections:
        if isinstance(found, mpl.collections.PathCollection):
            yield _series(found), *np.ma.getdata(found.get_offsets()).T, "o", ""
    for group in ax.containers:
        bars = [part for part in group if isinstance(part, mpl.patches.Rectangle)]
        if bars:
            places = [bar.get_x() + bar.get_width() / 2 for bar in bars]
            yield _series(group), places, [bar.get_height() for bar in bars], "_", ""


def _series(artist: Any) -> str:
    name = str(artist.get_label())
    return "" if name.startswith("_") else f"{name}, "


def _names(other: Axes, ax: Axes) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """How places on an axis of names go from one panel to the other: (x) -> (x there, which of them exist there)."""
    here, there = _written(other), _written(ax)
    if not here or not there:
        return lambda x: (x, np.ones(len(x), bool))

    def there_of(full):
        same = [place for name, place in there.items() if name == full or _short(name) == _short(full)]
        return there.get(full, same[0] if same else None)

    def shift(x):
        nearest = [min(here, key=lambda name: abs(here[name] - value)) for value in x]
        places = [there_of(name) for name in nearest]
        kept = np.array([place is not None for place in places], bool)
        moved = [value - here[name] + (place or 0) for value, name, place in zip(x, nearest, places, strict=True)]
        return np.array(moved, float), kept

    return shift


def _written(ax: Axes) -> dict[str, Any]:
    """The names below an axis and their places; empty where it holds plain numbers."""
    axis = ax.xaxis
    given = isinstance(axis.get_major_formatter(), mpl.ticker.FixedFormatter | mpl.ticker.FuncFormatter)
    if not (given and isinstance(axis.get_major_locator(), mpl.ticker.FixedLocator)):
        return {}
    names = [text.get_text() for text in ax.get_xticklabels()]
    return dict(zip(names, ax.get_xticks(), strict=False))


def _short(name: str) -> str:
    """A name below an axis without its width and its second line."""
    return _LEFT_OUT.sub("", name).replace("-\n", "-").partition("\n")[0].strip()


def _legend(fig: Figure, label: str) -> None:
    """The legend below the figure once more, with a line for the grey marks."""
    handle = Line2D([], [], color=style.GREY, marker="o", ms=SIZE, lw=0.8, mew=0, label=label)
    old = fig.legends[0] if fig.legends else None
    found = [ax.get_legend_handles_labels() for ax in fig.axes]
    bars = {
        name: one
        for handles, names in found
        for one, name in zip(handles, names, strict=True)
        if isinstance(one, mpl.container.ErrorbarContainer)
    }  # of which a legend's own handle is but the line, without its symbol
    words = [text.get_text() for text in old.get_texts()] if old else []
    handles = [bars.get(name, one) for name, one in zip(words, old.legend_handles if old else [], strict=True)]
    handles.append(handle)
    names = [*words, label]
    title = old.get_title().get_text() if old else ""
    if old:
        old.remove()
    for columns in range(old._ncols if old else 1, 0, -1):  # as many as the figure is wide enough for
        new = fig.legend(handles, names, loc="outside lower center", ncols=columns, title=title or None)
        if columns == 1 or new.get_window_extent().width <= fig.bbox.width:
            break
        new.remove()
