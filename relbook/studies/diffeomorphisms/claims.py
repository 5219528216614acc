"""What is measured for the claims on random deformations (B Sec. 2, Fig. 1). The study draws fields and trains nothing.

Sums over modes are exact. Shares of fields that fold have the binomial uncertainty of the draws behind them.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from relbook.measurement import Measurement, bootstrap, correlation, exact, mean, nothing
from relbook.studies.omissions.effects import fashion, squared_norm
from relstab import diffeo


def log_slope() -> Measurement:
    """Growth of the exact mean squared displacement at the centre, per n² T, with ln c from c = 100 to 400."""
    low, high = (diffeo.displacement(1.0, cut, 32, exact=True) ** 2 / 32**2 for cut in (100, 400))
    return exact((high - low) / math.log(4))


def _rows_of(rows: pd.DataFrame, rule: str, cut: int) -> pd.Series | None:
    found = rows[(rows["rule"] == rule) & (rows["cut"] == cut) & (rows["quantile"] == 0.5)]
    return found.iloc[0] if len(found) else None


def fold_spread(rows: pd.DataFrame) -> Measurement:
    """Largest over smallest T c² ln c where half of the fields fold, c = 5 to 20, the modes of the text."""
    chosen = rows[(rows["rule"] == "paper") & (rows["quantile"] == 0.5) & rows["cut"].between(5, 20)]
    constants = chosen["critical_temperature"] * chosen["cut"] ** 2 * np.log(chosen["cut"])
    return exact(constants.max() / constants.min(), [f"c = {cut:g}" for cut in chosen["cut"]])


def centre(*, rule: str, cut: int = 3) -> Measurement:
    """Root mean squared displacement of the centre at nominal δ = 1, pixels, from the finite sum."""
    return exact(diffeo.displacement(diffeo.temperature(1.0, cut, 32), cut, 32, exact=True, rule=rule))


def gradient_norm(rows: pd.DataFrame, *, rule: str, cut: int) -> Measurement:
    """Measured ‖∇τ‖² over (π³/8) c² T."""
    found = _rows_of(rows, rule, cut)
    return nothing() if found is None else exact(found["norm2"] / (math.pi**3 / 8 * cut**2), [f"c = {cut}"])


def folded(rows: pd.DataFrame, *, cut: int, size: int, displacement: float | int = 1.0) -> Measurement:
    """Share of the draws that fold at a nominal δ on size x size pixels, linear between the stored quantiles."""
    chosen = rows[(rows["rule"] == "code") & (rows["cut"] == cut)].sort_values("critical_temperature")
    if chosen.empty:
        return nothing()
    temperature = diffeo.temperature(displacement, cut, size)
    at, shares = chosen["critical_temperature"].to_numpy(), chosen["quantile"].to_numpy()
    draws = int(chosen["samples"].iloc[0])
    if at[0] <= temperature <= at[-1]:
        share = float(np.interp(np.log(temperature), np.log(at), shares))
        error = 1.96 * math.sqrt(share * (1 - share) / draws)
        low, high = share - error, share + error
    else:  # beyond the stored quantiles all that is known is an end
        low, high = (0.0, float(shares[0])) if temperature < at[0] else (float(shares[-1]), 1.0)
        share = low if temperature < at[0] else high
    return Measurement(share, low, high, tuple(f"draw {i}" for i in range(draws)), 100, "draws")


def local_folds(*, cuts: Sequence, draws: int = 500, seed: int) -> Measurement:
    """Share of points at which random fields of T = (8/π³)/c² fold, the largest over cut-offs;
    draws on 64 x 64 points.
    """
    import torch

    worst = []
    for cut in cuts:
        generator = torch.Generator().manual_seed(seed % 2**31)
        drawn = diffeo.sample_coefficients(draws, cut, rule="paper", generator=generator)
        worst.append(np.concatenate([_folded_points(part, cut) for part in drawn.split(250)]))
    shares = np.array([each.mean() for each in worst])
    each = worst[int(shares.argmax())]
    error = 1.96 * each.std(ddof=1) / math.sqrt(len(each))
    return Measurement(float(shares.max()), max(0.0, float(shares.max() - error)), float(shares.max() + error),
                       tuple(f"draw {i}" for i in range(draws)), 100, "draws")  # fmt: skip


def _folded_points(coefficients: Tensor, cut: int, size: int = 64) -> np.ndarray:
    field = diffeo.displacement_field(coefficients, 8 / math.pi**3 / cut**2, size).double().numpy()
    (xy, xx), (yy, yx) = np.gradient(field[:, 0], axis=(1, 2)), np.gradient(field[:, 1], axis=(1, 2))
    return ((1 - xx) * (1 - yy) - xy * yx <= 0).mean((1, 2))


def norm_without_cut(*, size: int, draws: int, seed: int) -> Measurement:
    """Mean of ‖∇τ‖² over (π²/2) n² T for fields with all n x n modes: the gradient of drawn fields,
    at 3n x 3n points.
    """
    generator = np.random.default_rng(seed)
    modes = np.arange(1, size + 1)
    at = (np.arange(3 * size) + 0.5) / (3 * size)
    sines, slopes = np.sin(np.pi * np.outer(at, modes)), np.pi * modes * np.cos(np.pi * np.outer(at, modes))
    deviation = 1 / np.sqrt(modes[:, None] ** 2 + modes**2)
    norms = []
    for _ in range(draws):
        components = generator.normal(size=(2, size, size)) * deviation
        norms.append(
            sum((np.square(slopes @ one @ sines.T) + np.square(sines @ one @ slopes.T)).mean() for one in components)
        )
    ratios = np.array(norms) / (math.pi**2 / 2 * size**2)
    return bootstrap(mean, ratios, units=[f"draw {i}" for i in range(draws)], seed=seed, needs=30, what="draws")


def dependence(*, cut: int, draws: int, seed: int) -> Measurement:
    """Largest |correlation| between τ_u and τ_v, over the points of a 16 x 16 grid and of their squares there."""
    import torch

    generator = torch.Generator().manual_seed(seed % 2**31)
    field = diffeo.displacement_field(diffeo.sample_coefficients(draws, cut, generator=generator), 1.0, 16).numpy()
    u, v = field.reshape(draws, 2, -1).transpose(1, 2, 0)
    inside = u.std(-1) > 0  # the frame does not move
    return exact(
        max(np.abs(correlation(a[inside], b[inside])).max() for a, b in ((u, v), (u**2, v**2))),
        [f"draw {i}" for i in range(draws)],
    )


def unit_norm(*, cut: int) -> Measurement:
    """‖τ‖² at T = (8/π³)/c², both components, in units of the image's side."""
    return exact(squared_norm(8 / math.pi**3 / cut**2, cut))


def same_norm(*, images: int = 100) -> Measurement:
    """R of the identity, 1 if x + η is as far from x as τx, image by image (B Fig. 2, A Fig. 1 left)."""
    import torch

    from relstab import sensitivity

    found = sensitivity(
        torch.nn.Flatten(), fashion(images), layers="output", generator=torch.Generator().manual_seed(0)
    )
    return exact(found["R"].iloc[-1])
