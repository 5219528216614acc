"""Critical temperatures against a direct scan, and the moments against closed forms."""

import math

import pytest
import torch
from relbook.claims import evaluate, ledger

from relbook import registry
from relbook.studies.diffeomorphisms.study import Ensemble, configs, critical_temperature, derivatives
from relstab import diffeo


def test_derivatives_match_finite_differences_of_the_field():
    draws = diffeo.sample_coefficients(2, 4, generator=torch.Generator().manual_seed(0)).double()
    field, gradient = derivatives(draws, 401)
    step = 1 / 400
    along_x = (field[..., 2:] - field[..., :-2]) / (2 * step)
    along_y = (field[..., 2:, :] - field[..., :-2, :]) / (2 * step)
    assert torch.allclose(along_x, gradient[:, :, 0, :, 1:-1], atol=5e-3)
    assert torch.allclose(along_y, gradient[:, :, 1, 1:-1], atol=5e-3)


def test_field_agrees_with_the_public_one():
    draws = diffeo.sample_coefficients(3, 5, generator=torch.Generator().manual_seed(1)).double()
    assert torch.allclose(
        derivatives(draws, 33)[0] * 33, diffeo.displacement_field(draws, 1.0, 33), atol=1e-12
    )


def test_critical_temperature_separates_folded_from_one_to_one():
    draws = diffeo.sample_coefficients(50, 3, generator=torch.Generator().manual_seed(2)).double()
    gradient = derivatives(draws, 65)[1]
    critical = critical_temperature(gradient)
    for factor, folds in ((0.999, False), (1.001, True)):
        scaled = gradient * (factor * critical).sqrt()[:, None, None, None, None]
        determinant = (1 - scaled[:, 0, 0]) * (1 - scaled[:, 1, 1]) - scaled[:, 0, 1] * scaled[:, 1, 0]
        assert ((determinant.flatten(1).amin(1) <= 0) == folds).all()


@pytest.mark.parametrize(("cut", "probability"), [(3, 0.36), (5, 0.28), (10, 0.14)])
def test_fold_table_at_the_code_temperature(cut, probability):
    draws = diffeo.sample_coefficients(400, cut, generator=torch.Generator().manual_seed(3)).double()
    critical = critical_temperature(derivatives(draws, 8 * cut + 1)[1])
    high = diffeo.temperature_range(cut, 32)[1]
    error = 4 * math.sqrt(
        probability * (1 - probability) * (1 / 400 + 1 / 200)
    )  # both are samples: 400 here, 200 there
    assert abs((critical <= high).double().mean().item() - probability) < error


def test_moments_match_their_finite_sums():
    row = Ensemble(scale="tiny", seed=0, cut=5, rule="code", samples=2000, grid=65).run()[0]
    exact = diffeo.displacement(1.0, 5, 32, exact=True) ** 2 / 32**2
    assert row["centre2"] == pytest.approx(exact, rel=0.1)
    modes = sum(math.sqrt(i * i + j * j) < 5.5 for i in range(1, 6) for j in range(1, 6))
    assert row["norm2"] == pytest.approx(math.pi**2 / 2 * modes, rel=0.05)


def test_chunks_equal_the_whole(monkeypatch):
    from relbook.studies.diffeomorphisms import study as diffeomorphisms

    config = Ensemble(scale="tiny", seed=0, cut=3, rule="paper", samples=30, grid=33)
    whole = config.run()
    monkeypatch.setattr(diffeomorphisms, "CHUNK", 7 * 33**2)
    assert [row["critical_temperature"] for row in config.run()] == pytest.approx(
        [r["critical_temperature"] for r in whole]
    )


def test_claims_of_the_section_can_be_judged(tmp_path, monkeypatch):
    monkeypatch.setenv("RELSTAB_STORE", str(tmp_path))
    rows = registry.rows("diffeomorphisms", "tiny")
    assert len(rows) == 9 * len(configs("tiny"))
    table = evaluate(
        [c for c in ledger("petrini2021") if c.study == "diffeomorphisms"],
        scale="tiny",
        rows={"diffeomorphisms": rows},
    )
    assert not table["verdict"].eq("not testable at this scale").any()
    assert table.set_index("id").loc["b-1-nominal-displacement", "verdict"] == "the paper errs"
