"""Critical temperatures against a direct scan, and the moments against closed forms."""

import math

import pandas as pd
import pytest
import torch

from relbook import papers, registry
from relbook.studies.diffeomorphisms import claims
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
    assert torch.allclose(derivatives(draws, 33)[0] * 33, diffeo.displacement_field(draws, 1.0, 33), atol=1e-12)


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
    chosen = [claim for claim in papers.ledger() if claim.studies == ("diffeomorphisms",)]
    table = papers.evaluate(chosen, scale="tiny", rows={"diffeomorphisms": rows}).set_index("id")
    assert not table["verdict"].eq("not tested").any()
    assert table.loc["b-1-norm-c3", "verdict"] == "differs"


def test_the_share_of_folds_is_read_between_the_stored_quantiles():
    """Temperatures 1, 10 and 100 at shares 0.25, 0.5 and 0.75: at 10^1.5 it is 0.625."""
    scale = diffeo.temperature(1.0, 3, 32) / 10**1.5
    rows = pd.DataFrame({"rule": "code", "cut": 3, "samples": 1000, "quantile": [0.25, 0.5, 0.75],
                         "critical_temperature": [scale, 10 * scale, 100 * scale]})  # fmt: skip
    found = claims.folded(rows, cut=3, size=32)
    assert found.estimate == pytest.approx(0.625) and found.n == 1000
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(0.625 * 0.375 / 1000))
    below = claims.folded(rows.assign(critical_temperature=rows["critical_temperature"] * 1e3), cut=3, size=32)
    assert (below.estimate, below.low, below.high) == (0, 0, 0.25)


def test_beyond_the_stored_quantiles_an_end_is_known():
    """Shares 0.2, 0.5 and 0.9 stored at temperatures below, and far below, that of δ = 1; rows in any order."""
    scale = diffeo.temperature(1.0, 3, 32)
    stored = pd.DataFrame({"rule": "code", "cut": 3, "samples": 400, "quantile": [0.5, 0.9, 0.2],
                           "critical_temperature": [0.5 * scale, 0.9 * scale, 0.1 * scale]})  # fmt: skip
    others = [stored.assign(critical_temperature=5 * scale, **other) for other in ({"rule": "paper"}, {"cut": 5})]
    rows = pd.concat([*others, stored])
    above = claims.folded(rows, cut=3, size=32)
    assert (above.estimate, above.low, above.high, above.n) == (1, 0.9, 1, 400) and above.enough
    below = claims.folded(rows, cut=3, size=32, displacement=0.1)  # T goes with δ²
    assert (below.estimate, below.low, below.high) == (0, 0, 0.2)
    for share, temperature in ((0.2, 0.1), (0.5, 0.5), (0.9, 0.9)):  # the ends belong to what is stored
        displacement = math.sqrt(temperature * (1 + 1e-12 * (0.5 - share)))  # inside, by rounding
        found = claims.folded(rows, cut=3, size=32, displacement=displacement)
        assert found.estimate == pytest.approx(share) and found.low < share < found.high
    half, finer = (claims.folded(rows, cut=3, **one) for one in ({"size": 32, "displacement": 0.5}, {"size": 64}))
    assert half.estimate == pytest.approx(finer.estimate) and 0.2 < half.estimate < 0.5  # T goes with δ²/n²
    assert (
        claims.folded(rows, cut=4, size=32).n == 0
        and claims.folded(rows[rows["rule"].eq("paper")], cut=3, size=32).n == 0
    )
    assert not claims.folded(rows.assign(samples=99), cut=3, size=32).enough
    assert claims.folded(rows.assign(samples=100), cut=3, size=32).enough


def test_the_constant_of_the_fold_boundary():
    """T c² ln c = 0.21 where half of the fields fold (c = 10, modes of the text): a number of ours,
    no claim of the paper.
    """
    found = Ensemble(scale="tiny", seed=0, cut=10, rule="paper", samples=300, grid=65).run()
    half = next(row["critical_temperature"] for row in found if row["quantile"] == 0.5)
    assert 0.18 <= half * 10**2 * math.log(10) <= 0.24
