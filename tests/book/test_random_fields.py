"""Exact moments of both ensembles against draws of them and closed forms; the figures and the claim made of them."""

import math

import pytest
import torch

from relbook import papers
from relbook.drawing.pictures import portrait
from relbook.studies.diffeomorphisms import figures_thin_plate as figures
from relbook.studies.ruderman import random_fields
from relstab import diffeo
from relstab.diffeo import thin_plate


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sampled(size, count=4000):
    drawn = thin_plate.sample_displacements(count, 3, 2.0, generator=seeded())
    return thin_plate.displacement_field(drawn, size).double()


def ensembles(size):
    return {"C": random_fields.thin_plate_fields(3, 2.0, size), "B": random_fields.maximum_entropy_fields(1.0, 3, size)}


def test_moments_of_the_thin_plate_against_draws():
    size = 16
    exact, fields = random_fields.moments(ensembles(size)["C"]), sampled(size)
    total = fields.square().sum(1).mean().item()
    frame = fields.square().sum(1)
    frame = torch.cat([frame[:, 0], frame[:, -1], frame[:, 1:-1, 0], frame[:, 1:-1, -1]], 1)
    gradient = sum(g.square() for g in torch.gradient(fields, dim=(2, 3))).sum(1)
    assert exact["rms displacement"] ** 2 == pytest.approx(total, rel=0.03)
    assert exact["on the frame"] ** 2 == pytest.approx(frame.mean().item(), rel=0.03)
    assert exact["rms gradient"] ** 2 == pytest.approx(gradient.mean().item(), rel=0.03)
    shift = fields.mean((2, 3)).square().sum(1).mean().item()
    assert exact["translation"] == pytest.approx(shift / total, rel=0.05)


def test_moments_of_the_maximum_entropy_ensemble_are_the_known_ones():
    """Rms 0.843 and n²‖∇τ‖² = 34.3 at δ = 1, c = 3, for large n."""
    found = random_fields.moments(random_fields.maximum_entropy_fields(1.0, 3, 256))
    assert found["rms displacement"] == pytest.approx(0.843, rel=0.005)
    assert found["rms gradient"] * 256 == pytest.approx(math.sqrt(34.3), rel=0.01)
    assert found["on the frame"] == 0


def test_an_affine_field_is_affine_and_a_shift_is_a_translation():
    line = torch.linspace(0, 1, 12, dtype=torch.float64)
    shift, turn = torch.ones(144, 1, dtype=torch.float64), line.expand(12, 12).reshape(-1, 1)
    assert random_fields.moments(shift)["translation"] == pytest.approx(1)
    assert random_fields.moments(turn)["affine"] == pytest.approx(1)
    assert random_fields.moments((turn - 0.5) ** 2)["affine"] < 0.8


def test_spectrum_sums_to_the_mean_square_and_a_shift_has_wave_number_zero():
    for fields in ensembles(20).values():
        expected = random_fields.moments(fields)["rms displacement"] ** 2
        assert random_fields.spectrum(fields).sum().item() == pytest.approx(expected, rel=1e-12)
    shift = random_fields.spectrum(torch.ones(64, 1, dtype=torch.float64))
    assert shift[0].item() == pytest.approx(2)
    assert shift[1:].sum().item() == pytest.approx(0, abs=1e-12)


def test_spectrum_rounds_the_wave_number_of_a_mode():
    wave = torch.cos(2 * math.pi * (torch.arange(16, dtype=torch.float64) + 0.5) / 16)  # two half waves
    assert random_fields.spectrum((wave[:, None] * wave).reshape(-1, 1)).argmax() == 3  # √8


def test_largest_gradient_bounds_the_draws_and_is_reached():
    """The draw that aligns all displacements with the worst place and direction comes as close as pixels allow."""
    size, bound = 65, random_fields.largest_gradient(3, 2.0, 65)
    assert bound == pytest.approx(random_fields.largest_gradient(3, 1.0, 65) * 2, rel=1e-12)

    def largest(fields):
        return torch.linalg.matrix_norm(torch.stack(torch.gradient(fields, dim=(2, 3)), -1).movedim(1, -2), 2).max()

    assert largest(sampled(size, 200)) < bound
    along_x = torch.gradient(thin_plate.operator(3, size).unflatten(0, (size, size)), dim=(0, 1))[1]
    worst = along_x.flatten(0, 1)[along_x.abs().sum(-1).argmax()]
    drawn = 2.0 * worst.sign().reshape(1, 1, 3, 3).repeat(1, 2, 1, 1)
    reached = largest(thin_plate.displacement_field(drawn, size))
    assert 0.8 * bound < reached <= bound * 1.001


def test_comparison():
    table = random_fields.comparison(draws=5)
    assert len(table) == 8
    gradient = table["rms gradient"]
    assert gradient.iloc[0] == pytest.approx(gradient.iloc[1])
    assert gradient.iloc[2] == pytest.approx(gradient.iloc[3])
    assert table["folds"].between(0, 1).all()
    assert table["largest gradient"].isna().sum() == 2


def test_the_claim_can_fail(monkeypatch):
    (claim,) = papers.by_id("c-1-smooth")
    assert claim.judge({}, "tiny")["verdict"] == "holds"
    stronger = {name: setting | {"maximum": 12.0} for name, setting in thin_plate.PAPER.items()}
    monkeypatch.setattr(thin_plate, "PAPER", stronger)
    assert claim.judge({}, "tiny")["verdict"] == "fails"


# Figures


def images(fig):
    return [ax.images[0].get_array() for ax in fig.axes if ax.images]


def test_examples_show_originals_and_their_deformations():
    image = portrait(32)
    fig = figures.examples([(image, thin_plate.PAPER["cifar10"]), (image[:1], {"points": 4, "maximum": 3})], copies=2)
    shown = images(fig)
    assert [picture.shape for picture in shown] == [(32, 32, 3)] * 3 + [(32, 32)] * 3
    expected = thin_plate.deform(image.repeat(2, 1, 1, 1), generator=seeded())[1].permute(1, 2, 0).numpy()
    assert (shown[2] == expected).all()


def test_construction_draws_arrows_from_the_source_to_the_control_point():
    fig = figures.construction(portrait(32), maximum=3.0, arrows=5)
    quiver = fig.axes[0].collections[0]
    drawn = thin_plate.sample_displacements(1, 4, 3.0, generator=seeded())[0]
    tips = quiver.XY + torch.stack([torch.as_tensor(quiver.U), torch.as_tensor(quiver.V)], 1).numpy()
    assert tips == pytest.approx(thin_plate.control_points(4).numpy() * 31, abs=1e-5)
    assert pytest.approx(drawn[0].flatten().numpy()) == quiver.U
    field = thin_plate.displacement_field(drawn[None], 32)
    expected = diffeo.warp(portrait(32)[None], field)[0].permute(1, 2, 0).clamp(0, 1).numpy()
    assert (images(fig)[1] == expected).all()


def test_templates_have_a_row_for_each_strength():
    fig = figures.templates(torch.rand(2, 1, 12, 12, generator=seeded()), strengths=(1, 2, 3), columns=4)
    shown = images(fig)
    assert len(shown) == 12
    assert (shown[0] == shown[4]).all()  # the template
    assert (shown[1] != shown[5]).any()
    assert [ax.get_ylabel() for ax in fig.axes[::4]] == ["C = 1", "C = 2", "C = 3"]


def test_ensembles_show_both():
    fig = figures.ensembles(size=16)
    for ax in fig.axes:
        c, b = ax.lines
        assert c.get_ydata()[0] > b.get_ydata()[0]


@pytest.mark.parametrize("maximum", [-1.0, math.inf, math.nan])
def test_a_largest_displacement_that_is_none_is_named(maximum):
    for function in (random_fields.thin_plate_fields, random_fields.largest_gradient):
        with pytest.raises(ValueError, match=f"maximum is {maximum}"):
            function(3, maximum, 8)


def test_fields_of_no_square_image_are_refused():
    for function in (random_fields.moments, random_fields.spectrum):
        with pytest.raises(ValueError, match="fields has 7 pixels"):
            function(torch.rand(7, 2, generator=seeded()))
