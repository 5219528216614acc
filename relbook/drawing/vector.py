"""A figure as the page's own drawing: its plotted numbers as a table, and its SVG in the colours of the theme.

matplotlib writes colours into every element. Here each becomes a CSS variable with the printed colour as its default,
`var(--ink-0072b2, #0072b2)`, so that the style sheet of the book may say what blue is in the dark; black turns
into the text's colour and white into the page's. Text stays text, and can be searched.

>>> themed('<svg width="72pt" height="36pt" viewBox="0 0 72 36"><g style="fill: #ffffff"/></svg>', "x")
'<svg class="figure" role="img" aria-label="x" viewBox="0 0 72 36"><g style="fill: var(--ink-ffffff, #ffffff)"/></svg>'
"""

import html
import re
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

LARGEST = 260_000  # characters of an SVG that goes into a page; a larger one stays a picture of pixels
_HEAD = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->", re.DOTALL)
_COLOUR = re.compile(r"(?<=[ :\"])#([0-9a-f]{6})\b")
_FONT = re.compile(r"'DejaVu Sans'(?:, [^;\"]*)?")


def themed(svg: str, text: str) -> str:
    """The SVG of a matplotlib figure as an element of a page, `text` its alternative in words."""
    svg = _HEAD.sub("", svg).strip()
    box = re.search(r'viewBox="([^"]*)"', svg)[1]
    label = html.escape(text, quote=True)
    opening = f'<svg class="figure" role="img" aria-label="{label}" viewBox="{box}">'
    body = re.sub(r"\s*\n\s*", "\n", svg[svg.index(">") + 1 :])
    if "xlink:href" in body:
        opening = opening[:-1] + ' xmlns:xlink="http://www.w3.org/1999/xlink">'
    body = _FONT.sub("'DejaVu Sans', Verdana, sans-serif", body)
    return opening + _COLOUR.sub(r"var(--ink-\1, #\1)", body)


def plotted(fig: Figure) -> pd.DataFrame:
    """What a figure shows, one line a point: panel, kind, series, x, y, low, high, in the units of the axes.

    panel: number and title of the axes; series: the label of the legend; kind: "line", "points", "bar", "interval"
    (an error bar) or "text", a word beside a point, whose text is the series. low and high: ends of a bar or an
    interval. Pictures and shades are no points.

    >>> from matplotlib.figure import Figure
    >>> fig = Figure()
    >>> line = fig.subplots().plot([1, 2], [3, 4], label="a")
    >>> plotted(fig)[["series", "x", "y"]].values.tolist()
    [['a', 1, 3], ['a', 2, 4]]
    """
    lines = []
    for number, ax in enumerate(fig.axes, start=1):
        title = " ".join(ax.get_title().split())
        panel = {"panel": f"{number} {title}".strip(), "x is": ax.get_xlabel(), "y is": ax.get_ylabel()}
        for line in ax.lines:
            x, y = np.broadcast_arrays(*(np.atleast_1d(line.get_data(orig=True)[k]) for k in (0, 1)))
            lines += [
                {**panel, "kind": "line", "series": _label(line), "x": a, "y": b} for a, b in zip(x, y, strict=True)
            ]
        for found in ax.collections:
            if isinstance(found, mpl.collections.PathCollection):
                points = np.ma.getdata(found.get_offsets())
                lines += [{**panel, "kind": "points", "series": _label(found), "x": a, "y": b} for a, b in points]
            elif isinstance(found, mpl.collections.LineCollection):
                lines += [{**panel, "kind": "interval", **ends} for ends in _intervals(found)]
        for bar in (part for group in ax.containers for part in group if isinstance(part, mpl.patches.Rectangle)):
            low, high = bar.get_y(), bar.get_y() + bar.get_height()
            place = bar.get_x() + bar.get_width() / 2
            lines.append(
                {**panel, "kind": "bar", "series": _label(bar), "x": place, "y": high, "low": low, "high": high}
            )
        for text in ax.texts:
            x, y = getattr(text, "xy", None) or text.get_position()
            lines.append({**panel, "kind": "text", "series": " ".join(text.get_text().split()), "x": x, "y": y})
    columns = ["panel", "kind", "series", "x", "y", "low", "high", "x is", "y is"]
    return pd.DataFrame(lines, columns=columns).dropna(axis="columns", how="all")


def _intervals(found: LineCollection) -> Iterator[dict[str, Any]]:
    """Error bars, upright ones as x, low, high, level ones as y, low, high."""
    for segment in found.get_segments():
        if len(segment) == 2:
            (a, b), (c, d) = segment
            if a == c:
                yield {"x": a, "low": min(b, d), "high": max(b, d)}
            elif b == d:
                yield {"y": b, "low": min(a, c), "high": max(a, c)}


def _label(artist: Any) -> str:
    """What the legend calls it; the grey marks of `relbook.drawing.beside` stand in none,
    and keep their name all the same.
    """
    label = str(artist.get_label())
    return label.removeprefix("_") if "computed here" in label or not label.startswith("_") else ""
