"""A stroke means the same in the whole book: figures take line styles,
faces and hatches from `relbook.drawing.style` only.
"""

import ast
import re
from pathlib import Path

import pytest
from matplotlib.colors import to_rgb

from relbook.drawing import style

BOOK = Path(style.__file__).parents[1]
FIGURES = sorted([*BOOK.glob("studies/*/figures*.py"), BOOK / "drawing" / "nets.py"])
FACES = {"mfc", "markerfacecolor", "fillstyle", "hatch", "markerfacecoloralt"}
LINES = {"ls", "linestyle", "dashes"}
DASHED = {"--", "-.", ":", "dashed", "dotted", "dashdot"}


def own_strokes(source):
    """Line numbers at which source code chooses a dash, a face or a hatch itself."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.keyword) and node.arg in FACES | LINES:
            values = [inner.value for inner in ast.walk(node.value) if isinstance(inner, ast.Constant)]
            plain = {"", "none", "-", "white"} if node.arg in LINES else set()
            if any(isinstance(value, str) and value not in plain for value in values if node.arg in FACES | LINES):
                found.append(node.value.lineno)
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                named = isinstance(key, ast.Constant) and key.value in FACES | LINES
                if named and isinstance(value, ast.Constant) and value.value not in ("", "-"):
                    found.append(value.lineno)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found += [node.lineno] * (len(node.value) <= 7 and node.value.strip("osD^vxPX*+_") in DASHED)
        if isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[1], ast.Tuple):
            first, dashes = node.elts
            numbers = [isinstance(part, ast.Constant) and isinstance(part.value, int | float) for part in dashes.elts]
            if isinstance(first, ast.Constant) and first.value == 0 and numbers and all(numbers):
                found.append(node.lineno)
    return sorted(set(found))


@pytest.mark.parametrize("path", FIGURES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_figure_invents_no_stroke(path):
    assert own_strokes(path.read_text()) == []


@pytest.mark.parametrize(
    "code",
    [
        'ax.plot(x, y, "--")',
        'ax.plot(x, y, "s--")',
        'ax.axhline(1, ls=":")',
        'ax.plot(x, y, mfc="white")',
        'ax.bar(x, y, hatch="//" if old else None)',
        'look = {"mfc": "none"}',
        "DASHES = {True: (0, (4, 1.5))}",
    ],
)
def test_the_test_sees_a_stroke(code):
    assert own_strokes(code) == [1]


def test_conditions_can_be_told_apart_without_hue():
    drawn = {(str(stroke.line), stroke.fill) for stroke in style.STROKES.values()}
    assert len(drawn) == len(style.STROKES) - 1  # "plain" is "trained", where augmentation is compared
    lines = [stroke.line for stroke in style.STROKES.values()]
    assert style.PAPER not in lines and style.CODE not in lines and style.PAPER != style.CODE


@pytest.mark.parametrize("count", [1, 2, 6])
def test_an_order_goes_from_dark_to_light(count):
    shades = [int(colour[1:3], 16) for colour in style.graded(style.NAVY, count)]
    assert shades == sorted(shades) and len(set(shades)) == count
    assert style.graded(style.NAVY, count)[0] == style.NAVY


def test_an_order_of_blues_or_greys_keeps_its_sense_on_a_dark_page():
    sheet = (BOOK.parent / "book" / "assets" / "relstab.css").read_text()
    for first in (style.NAVY, style.BLACK):
        for count in range(2, 8):
            known = [re.search(rf"--ink-{shade[1:]}: (#[0-9a-f]{{6}});", sheet) for shade in style.graded(first, count)]
            assert all(known[1:]), (first, count)
            light = [sum(to_rgb(found[1])) for found in known if found]
            assert light == sorted(light, reverse=True)
