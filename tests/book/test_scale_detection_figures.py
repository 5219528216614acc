"""Figures of the scale-detection tasks: what is drawn, and that it can be read."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from relbook.studies.scale_detection import figures, study, tables
from relbook.studies.two_pixels.solutions import two_pixel_sensitivities
from relstab import theory


@pytest.fixture(scope="module")
def rows():
    """Rows as the study makes them, made up: three seeds on the exact curve and one that has collapsed."""
    table = []
    for unit in study.configs("tiny"):
        for moves in ("free", "constrained") if unit.task == 2 else ("free",):
            exact = study.exact(pd.DataFrame([dataclasses.asdict(unit)]), moves=moves)
            for stage in ("init", "trained"):
                for member in (1, 2, 3, 4):
                    size = 1e-6 if member == 4 and stage == "trained" else 1 + 0.02 * member
                    part = exact.assign(member=member, stage=stage, moves=moves, flatness=0.8, steps=1, status="stopped",
                                        test_error=0.0 if size > 1 else 0.5, output_std=1.0 if size > 1 else 0.0)  # fmt: skip
                    if stage == "init":
                        part[["D", "G", "R"]] = 0.9, 0.5, 1.8
                    for q in ("D", "G", "R"):
                        part[q] = part[q] * size
                        part[f"{q}_mean_channel"] = part[q]
                    table.append(part.assign(**dataclasses.asdict(unit)))
    return pd.concat(table, ignore_index=True)


def reference(rows):
    return rows[
        [moves == study.reference_moves(task) for moves, task in zip(rows.moves, rows.task, strict=True)]
    ]


def drawn(fig, panels):
    """Draw without a screen; every text must have room for at least 9 points, and all panels hold something."""
    FigureCanvasAgg(fig).draw()
    texts = [t for t in fig.findobj(Text) if t.get_visible() and t.get_text() and t.get_figure()]
    assert min(t.get_fontsize() for t in texts) >= 9
    assert fig.get_size_inches()[0] <= 7
    assert len(fig.axes) == panels
    assert all(axis.has_data() or axis.patches for axis in fig.axes)
    return {t.get_text() for t in texts}


def test_drawings():
    assert r"$d > \xi$: $y = -1$" in drawn(figures.tasks(), 4)
    image = np.zeros(32)
    image[[7, 13]] = 1
    stacks = tables.profiles(image, 5, 5, 1), tables.profiles(image, 5, 2, 2)
    assert "$A_5$" in drawn(figures.profiles(*stacks, (3.2, 32.0)), 2)
    assert {"4.4", "18", "0.014"} <= drawn(figures.two_pixels(two_pixel_sensitivities()), 3)


def test_theory_figures():
    fig = figures.proposition_a1(tables.walk_and_gaussians(40, [2, 3]))
    assert {"98 %", "0.63 %", "23 %", "0.47 %"} <= drawn(fig, 4)
    parts = [
        theory.local_exponents(theory.homogeneous_sensitivities(9, 3, 1, L, 1, L // 3, L // 8)).assign(
            length=L
        )
        for L in (32, 64)
    ]
    assert "$L = 64$" in drawn(figures.exponents(pd.concat(parts)), 3)


def test_sensitivities_show_theory_and_seeds(rows):
    exact = {task: study.exact(part) for task, part in rows.groupby("task")}
    fig = figures.sensitivities(reference(rows), exact)
    assert {"trained", "homogeneous filters, exact", "asymptotic law (paper)", r"$\sim A_k^{-3}$"} <= drawn(
        fig, 6
    )
    curves = {line.get_label(): line for line in fig.axes[0].lines}
    np.testing.assert_array_equal(curves["homogeneous filters, exact"].get_ydata(), exact[1].D)
    law = curves["asymptotic law (paper)"]
    assert np.polyfit(np.log(law.get_xdata()), np.log(law.get_ydata()), 1)[0] == pytest.approx(-2)
    low, high = fig.axes[0].get_ylim()
    assert high / low < 1e3  # the collapsed seed, at 1e-6, does not squeeze the others


def test_seeds_are_drawn_by_kind(rows):
    part = study.deviations(rows[rows.task == 1])
    texts = drawn(figures.seeds(part, study.classify(rows[rows.task == 1])), 3)
    assert {"homogeneous: 3 of 4", "collapsed: 1 of 4"} <= texts


def test_summary_leaves_no_seed_out(rows):
    table = study.summary(rows).set_index("task")
    assert table.members.tolist() == [4, 4]
    assert table.homogeneous.tolist() == [3, 3]
    assert table.collapsed.tolist() == [1, 1]
    assert table.without_error.tolist() == [3, 3]
    assert table.D_low.tolist() == pytest.approx([1.03, 1.03])  # the median of 1.06, 1.04, 1.02 and 1e-6
    exact = {task: study.exact(part) for task, part in rows.groupby("task")}
    for task, (first, last) in study.SLOPES.items():
        window = exact[task][exact[task].k.between(first, last)]
        slope = np.polyfit(np.log(window.A), np.log(window.G), 1)[0]
        assert table.G_slope[task] == pytest.approx(slope)
    assert set(study.exponents(rows).moves) == {"free", "constrained"}


def test_rows_of_one_width(rows):
    wide = rows[rows.member < 3].assign(width=64)
    both = pd.concat([rows, wide], ignore_index=True)
    assert set(study.widest(both, 1).width) == {64} and set(study.most_seeds(both, 1).width) == {32}
    assert set(study.widest(both, 2).moves) == {"constrained"}
    assert set(study.most_seeds(pd.concat([rows, rows.assign(width=64)]), 2).width) == {64}
    assert study.both_tasks(both) and not study.both_tasks(rows[rows.task == 1])
