"""What the papers leave out: each small computation against what is known of it, and the page against its list."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from relbook import findings, page, papers
from relbook.studies.omissions import effects, figures
from relbook.studies.scale_detection.tasks import image_task, line_task
from relstab import data, diffeo, models, theory
from relstab.random import seeded
from relstab.train import fit, recipes

PAGE = Path(__file__).parents[2] / "notebooks" / "leave_out.md"
PARTS = ["What the text says", "Evidence", "Consequence", "What this book does"]


def test_the_constant_of_eq_3_is_sierpinskis():
    assert pytest.approx(2.5849817595792532, abs=1e-12) == effects.SIERPINSKI
    exact = diffeo.displacement(1.0, 2000, 32, exact=True, rule="paper") ** 2 / 32**2
    assert exact * 4 / math.pi - math.log(2000) == pytest.approx(effects.SIERPINSKI / (2 * math.pi), abs=1e-3)


def test_displacements_by_hand():
    table = effects.displacements([3, 100]).set_index("cut")
    # Odd modes at c = 3: (1, 1) for the text, and (1, 3), (3, 1) too for the code.
    scale = 8 / (math.pi * math.log(3))
    assert table.loc[3, "paper"] == pytest.approx(math.sqrt(scale / 2))
    assert table.loc[3, "code"] == pytest.approx(math.sqrt(scale * (1 / 2 + 2 / 10)))
    assert np.ptp(table.loc[100, ["code", "paper", "with constant"]]) < 1e-3


def test_squared_norm_is_that_of_fields():
    drawn = diffeo.sample_coefficients(4000, 4, rule="paper", generator=torch.Generator().manual_seed(1))
    field = diffeo.displacement_field(drawn, 0.01, 65) / 65
    # The border is zero and counts for half a pixel: 64 intervals.
    measured = field.square().sum((1, 2, 3)).mean() / 64**2
    assert effects.squared_norm(0.01, 4) == pytest.approx(measured.item(), rel=0.03)


def test_folds_come_with_the_displacement():
    shares = [effects.folded(delta, 15, 32, draws=60) for delta in (0.3, 0.6, 1.0)]
    assert shares[0] == 0 and shares[0] < shares[1] < shares[2] and shares[2] > 0.85


def test_medians():
    """χ² medians with 1 and 10 degrees of freedom; the median of one component is no other than the median."""
    assert effects.median_ratio() == pytest.approx(10 * 0.45494 / 9.34182, rel=0.03)
    assert effects.median_ratio(1, 200) == 1.0
    table = pd.DataFrame({"mean": [1.0, 2.0], "median": [1.1, 2.0], "component_median": [0.8, 2.2]})
    assert findings.largest_factor(table) == pytest.approx(1.1 / 0.8)
    assert math.isnan(findings.largest_factor(table.iloc[:0]))


def test_blur_and_radii():
    assert effects.blur(torch.ones(1, 1, 8, 8)) < 1e-6
    assert effects.blur(torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))) > 0.2
    spread = effects.radii(effects.fashion(100))
    cv = spread["variation"]
    assert spread["lower by"] == pytest.approx(cv**2 / (1 + cv**2), rel=0.05)


def test_statistics_of_the_batch_decide_on_R_before_training():
    table = effects.batch_norm()
    assert 0.6 < table.loc["of the batch", "R"] < 1.4 and table.loc["as stored", "R"] < 0.6


def test_a_shared_permutation_keeps_inner_products():
    assert effects.kept_geometry("shared") < 1e-12 < 0.1 < effects.kept_geometry("independent")


def test_optimism_of_noise_and_of_none():
    """Independent errors: the best of many epochs is too good by the expected minimum. Equal halves: nothing gained."""
    draw = np.random.default_rng(0)
    errors = 0.2 + 0.018 * draw.normal(size=(200, 40, 2))
    parts = [
        pd.DataFrame({"seed": s, "epoch": range(1, 41), "first": e[:, 0], "second": e[:, 1]})
        for s, e in enumerate(errors)
    ]
    gains = effects.optimism(pd.concat(parts))
    expected = -np.sort(draw.normal(size=(4000, 40)), axis=1)[:, 0].mean()
    assert gains["gain"].mean() == pytest.approx(0.018 * expected, rel=0.05)
    assert gains["in deviations"].mean() == pytest.approx(expected, rel=0.05)  # 0.018 is the deviation of 500 images
    same = pd.concat(parts).assign(second=lambda rows: rows["first"])
    assert (effects.optimism(same)["gain"] == 0).all()


def test_watching_does_not_act_on_the_training():
    images, recipe = data.load("fashion-mini"), recipes.paper("fc_l4", epochs=2, augment=False)
    trained = []
    for watched in (None, images.test.take(torch.arange(500)), images.test.take(torch.arange(500, 1000))):
        model = models.build("fc_l4", in_channels=1, image_size=28, generator=seeded(0, "weights"))
        fit(model, images.train.take(torch.arange(200)), recipe, normalise=images.normalise, seed=0, validation=watched)
        trained.append(torch.cat([weight.flatten() for weight in model.state_dict().values()]))
    assert torch.equal(trained[0], trained[1]) and torch.equal(trained[0], trained[2])
    found = effects.selection(train=200, epochs=2, seeds=range(1))
    assert len(found) == 2 and (found["first"] != found["second"]).all()  # two halves of the test set


def test_labels_and_collisions_counted_by_hand():
    # Distance 2 and a step towards each other: 30 pairs, a quarter of the moves. Two corners: the pixel at the edge
    # stays, its neighbour comes, another quarter each.
    assert effects.collisions(line_task(1, 32, 11, gap=4)) == pytest.approx((30 + 2) / 4 / 368)
    task = image_task(1, 12, 6, gap=2)
    assert effects.label_changes(task, 6, 2) > 0
    assert effects.label_changes(image_task(1, 12, 6, gap=6), 6, 6) == 0


def test_exponents_approach_the_laws_on_larger_rings():
    small = effects.exponents(1)
    large = theory.homogeneous_sensitivities(60, 3, 1, 1024, 1, 352, gap=128).iloc[-2:]
    slope = np.diff(np.log(large["D"])) / np.diff(np.log(large["A"]))
    assert abs(slope.item() + 2) < abs(small["D"] + 2)
    assert effects.exponents(1, rectified=False)["G"] < 0.3 < small["G"]


def test_one_filter_is_its_own_mean():
    assert effects.mean_channels(1) == pytest.approx(1.0)
    assert effects.mean_channels(256) < 0.3


def test_roughness_of_known_laws():
    table = effects.roughness()
    assert table.loc["normal", "pooled"] == pytest.approx(12 * math.sqrt(2) / 9, abs=2e-3)
    assert table.loc["uniform", "pooled"] == pytest.approx(16 / 9, abs=2e-3)
    assert effects.untrained_filters("truncated normal", 1000).abs().max() <= 2
    with pytest.raises(ValueError, match="law is 'cauchy'; it must be one of truncated normal, normal, uniform"):
        effects.untrained_filters("cauchy")


def test_the_two_readings_agree_to_first_order():
    one, two = (effects.source_or_destination(maximum=m)["difference"] for m in (0.5, 1.0))
    assert two == pytest.approx(4 * one, rel=0.15)
    assert effects.source_or_destination(maximum=0)["difference"] == 0


def test_claims_are_judged_by_their_numbers():
    table = papers.evaluate(papers.by_id("c-baseline-quoted", "b-medians-norm", "a-5-labels")).set_index("id")
    assert list(table["verdict"]) == ["holds", "differs", "holds"]
    assert table.loc["b-medians-norm", "difference"] == "text and code"


def test_a_finding_has_a_kind():
    with pytest.raises(ValueError, match="kind is 'scandal'; it must be one of slip in print"):
        findings.Finding("left-out-x", "X", "B", "scandal", str, "none")


def test_summary_has_every_finding_and_its_verdicts(monkeypatch):
    known = {claim.id for claim in papers.ledger()}
    assert {name for finding in findings.FINDINGS for name in finding.claims} <= known
    chosen = tuple(
        f for f in findings.FINDINGS if f.anchor in ("left-out-modes", "left-out-gradient", "left-out-cosine")
    )
    monkeypatch.setattr(findings, "FINDINGS", chosen)
    table = findings.summary().set_index("anchor")
    assert table.loc["left-out-modes", "verdicts"] == "differs, holds"
    assert table.loc["left-out-cosine", "effect"] == "the last of 250 epochs runs at 14% of the first rate"
    html = page.findings(findings.summary()).bundle["text/html"]
    assert "<code>rule=&quot;paper&quot;</code>" in html
    assert html.count("<tr>") == 4 and '<a href="#left-out-modes">Which modes are kept</a>' in html


def test_the_page_has_a_section_of_four_parts_for_each_finding():
    sections = re.split(r"^\((left-out-[a-z-]+)\)=\n#### (.*)\n", PAGE.read_text(), flags=re.M)[1:]
    assert list(zip(sections[::3], sections[1::3], strict=True)) == [(f.anchor, f.title) for f in findings.FINDINGS]
    for finding, text in zip(findings.FINDINGS, sections[2::3], strict=True):
        text = re.split(r"^#{2,3} ", text, flags=re.M)[0]
        assert re.findall(r"^\*\*([^*]+)\.\*\*", text, flags=re.M) == PARTS, finding.anchor
        assert "code-cell" in text or finding.anchor == "left-out-labels"
        if finding.claims and "*ids" not in text:
            shown = re.findall(r'"([abc]-[\w-]+)"', "\n".join(re.findall(r"page\.cards\(.*\)", text)))
            assert set(shown) <= set(finding.claims), finding.anchor


def drawn(fig, panels):
    FigureCanvasAgg(fig).draw()
    texts = [t for t in fig.findobj(Text) if t.get_visible() and t.get_text() and t.get_figure()]
    assert min(t.get_fontsize() for t in texts) >= 9
    assert fig.get_size_inches()[0] <= 7 and len(fig.axes) == panels
    assert all(axis.has_data() for axis in fig.axes)
    return {t.get_text() for t in texts}


def test_drawings():
    assert "modes at $c = 3$" in drawn(figures.modes(effects.displacements([2, 3, 10]), 3), 2)
    boundary = pd.DataFrame({"T c²": [0.7, 0.13, 0.07], "T c² ln c": [0.49, 0.21, 0.21]}, index=[2, 5, 20])
    assert r"$0.21 / \ln c$" in drawn(figures.fold_boundary(boundary), 1)
    table = pd.DataFrame({"mean": [0.1, 2.0], "median": [0.1, 2.2], "component_median": [0.08, 1.9]})
    drawn(figures.medians(table), 1)
    assert "0.014" in drawn(figures.learning_rates({"paper": [0.1, 0.0], "code": [0.1, 0.0141]}), 1)
    runs = pd.DataFrame({"seed": 0, "epoch": range(1, 7), "first": 0.2, "second": [0.3, 0.25, 0.21, 0.2, 0.19, 0.2]})
    both = pd.concat([runs, runs.assign(seed=1)])
    drawn(figures.selection(both, effects.optimism(both)), 2)
    assert "1.87, quoted" in drawn(figures.baseline(effects.roughness(5000), 1.87), 1)
