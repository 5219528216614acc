"""Figures of the scale-detection tasks: what is drawn, and that it can be read."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from relbook.studies.scale_detection import figures, study, tables
from relbook.studies.two_pixels.solutions import layer_sensitivities, two_pixel_sensitivities
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
                    part = exact.assign(
                        member=member,
                        stage=stage,
                        moves=moves,
                        flatness=0.8,
                        steps=1,
                        status="stopped",
                        test_error=0.0 if size > 1 else 0.5,
                        output_std=1.0 if size > 1 else 0.0,
                    )
                    if stage == "init":
                        part[["D", "G", "R"]] = 0.9, 0.5, 1.8
                    for q in ("D", "G", "R"):
                        part[q] = part[q] * size
                        part[f"{q}_mean_channel"] = part[q]
                    table.append(part.assign(**dataclasses.asdict(unit)))
    return pd.concat(table, ignore_index=True)


def reference(rows):
    return rows[[moves == study.reference_moves(task) for moves, task in zip(rows.moves, rows.task, strict=True)]]


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
    assert {"low\n4.4", "18\nhigh", "0.014\nlow"} <= drawn(figures.two_pixels(two_pixel_sensitivities()), 3)


def test_theory_figures():
    fig = figures.proposition_a1(tables.walk_and_gaussians(40, [2, 3]))
    assert {"98 %", "0.63 %", "23 %", "0.47 %"} <= drawn(fig, 4)
    parts = [
        theory.local_exponents(theory.homogeneous_sensitivities(9, 3, 1, L, 1, L // 3, L // 8)).assign(length=L)
        for L in (32, 64)
    ]
    assert "$L = 64$" in drawn(figures.exponents(pd.concat(parts)), 3)


def test_sensitivities_show_theory_and_seeds(rows):
    exact = {task: study.exact(part) for task, part in rows.groupby("task")}
    fig = figures.sensitivities(reference(rows), exact)
    assert {"trained", "homogeneous filters, exact", "asymptotic law (paper)", r"$\sim A_k^{-3}$"} <= drawn(fig, 6)
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


def test_layers_of_the_constructions_are_exact():
    """Against sampling: moves and noise drawn for every pair, the layers computed by a loop."""
    import numpy as np

    length, xi, power = 16, 3, 8 / 3
    rng = np.random.default_rng(0)
    first, second = np.triu_indices(length, 1)
    pairs = np.zeros((len(first), length))
    pairs[np.arange(len(first)), first] = pairs[np.arange(len(first)), second] = 1
    table = layer_sensitivities(length, xi).set_index(["solution", "layer"])

    def layers(x, solution):
        z = np.maximum(x, 0) if solution == "high" else x
        taps = (-1, 0, 1) if solution == "low" else (0,)
        windows = sum(np.roll(z, shift, -1) for shift in (-1, 0, 1))
        seen = np.maximum(sum(np.roll(x, shift, -1) for shift in taps), 0)
        return {"first": seen, "windows": np.maximum(windows - 1, 0)}

    for solution in ("low", "high"):
        clean, found = layers(pairs, solution), {}
        for _ in range(1500):
            moved = np.zeros_like(pairs)
            for place in (first, second):
                moved[np.arange(len(place)), (place + rng.integers(-1, 2, len(place))) % length] += 1
            noisy = pairs + rng.normal(size=pairs.shape) * (power / length) ** 0.5
            for kind, images in (("D", moved), ("G", noisy)):
                for name, values in layers(images, solution).items():
                    change = ((values - clean[name]) ** 2).sum(1).mean()
                    found.setdefault((name, kind), []).append(change / (2 * clean[name].var(0).sum()))
        for (name, kind), draws in found.items():
            assert table.loc[(solution, name), kind] == pytest.approx(np.mean(draws), rel=0.02), (solution, name, kind)
    assert layer_sensitivities(length, xi, channels=5).query("solution == 'high'")["D"].iloc[0] == pytest.approx(
        table.loc[("high", "first"), "D"]
    )
    with pytest.raises(ValueError, match="channels is 2; it must be odd"):
        layer_sensitivities(channels=2)


def test_layers_are_drawn_by_layer_window_and_channels():
    output = pd.DataFrame({"solution": ["low", "high"], "D": [1.0, 2.0], "G": [3.0, 4.0], "R": [5.0, 6.0]})
    parts = []
    for xi, channels in ((3, 3), (5, 3), (5, 7)):
        for solution, by in (("low", 1), ("high", 10)):
            parts += [
                {"solution": solution, "layer": layer, "xi": xi, "channels": channels}
                | {name: by * xi * channels * k * place for k, name in enumerate("DGR", start=1)}
                for place, layer in enumerate(("first", "windows"), start=1)
            ]
    axes = figures.two_pixel_layers(output, pd.DataFrame(parts), xi=5).axes
    for k in range(3):
        low, high = (axes[k].lines[n].get_ydata().tolist() for n in (0, 1))
        assert low == [15 * (k + 1), 30 * (k + 1), 1 + 2 * k] and high == [150 * (k + 1), 300 * (k + 1), 2 + 2 * k]
        assert axes[3 + k].lines[0].get_xydata().tolist() == [[3, 18 * (k + 1)], [5, 30 * (k + 1)]]
        assert axes[6 + k].lines[1].get_xydata().tolist() == [[3, 150 * (k + 1)], [7, 350 * (k + 1)]]


def test_learned_filters_are_sorted_and_their_constant_part_is_counted():
    before = [np.array([[[3.0], [-1.0]], [[1.0], [-3.0]]]), np.array([[[1.0, 0.0], [1.0, 0.0]]])]
    after = [np.array([[[2.0], [2.0]], [[-1.0], [-1.0]]]), np.array([[[1.0, 2.0], [0.0, 0.0]]])]
    left, right, share = figures.learned_filters(before, after).axes
    assert left.images[0].get_array().tolist() == [[1, -3], [3, -1]]
    assert right.images[0].get_array().tolist() == [[-1, -1], [2, 2]]
    shares = {line.get_label(): line.get_xydata().tolist() for line in share.lines}
    assert shares["at initialisation"] == [pytest.approx([1, 8 / 2 / 20]), pytest.approx([2, 1])]
    assert shares["trained"] == [pytest.approx([1, 1]), pytest.approx([2, 0.5])]
