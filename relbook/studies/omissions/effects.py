"""Small computations behind the page "What the papers leave out": how much each discrepancy matters.

Everything here runs in seconds, from fixed seeds, on what the package brings with it. Longer measurements come
from the published rows of the studies.

>>> from relbook.studies.omissions import effects
>>> round(effects.median_ratio(), 1)  # the sum of ten medians over the median of the sum
0.5
"""

import math
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from relbook.studies.scale_detection.tasks import TwoPixelTask, translations
from relstab import data, diffeo, models, theory
from relstab.diffeo import thin_plate
from relstab.diffeo.fields import invert, warp
from relstab.models.surgery import shuffle_channels
from relstab.probes import filters, moments
from relstab.probes.sensitivity import point_values
from relstab.random import seeded
from relstab.train import fit, recipes

SIERPINSKI = math.pi * (2 * np.euler_gamma + 2 * math.log(2) + 3 * math.log(math.pi) - 4 * math.lgamma(1 / 4))
LAWS = ("truncated normal", "normal", "uniform")


def displacements(cuts: Iterable[int], size: int = 32) -> pd.DataFrame:
    r"""The rms displacement of the centre, pixels, at the temperature that B Eq. 3 calls δ = 1, a line a cut-off.

    code, paper: exact, with the modes that the authors' code or B's text keeps. with constant: B Eq. 3 with its next
    term, $\delta^2 = \frac\pi4 n^2 T(\ln c + K/2\pi)$, K Sierpiński's constant.

    >>> displacements([3]).round(3).values.tolist()
    [[3.0, 1.274, 1.077, 1.172]]
    """
    lines = []
    for cut in cuts:
        temperature = diffeo.temperature(1.0, cut, size)
        exact = {rule: diffeo.displacement(temperature, cut, size, exact=True, rule=rule) for rule in diffeo.RULES}
        constant = math.sqrt(1 + SIERPINSKI / (2 * math.pi * math.log(cut)))
        lines.append({"cut": cut, **exact, "with constant": constant})
    return pd.DataFrame(lines)


def boundary(rows: pd.DataFrame) -> pd.DataFrame:
    """Where half of the fields fold, by cut-off, with the modes of B's text: T c² and T c² ln c.

    Args:
        rows: of the study `diffeomorphisms`.
    """
    half = rows[(rows["rule"] == "paper") & (rows["quantile"] == 0.5)].sort_values("cut")
    plain = half["critical_temperature"] * half["cut"] ** 2
    table = pd.DataFrame({"cut": half["cut"], "T c²": plain, "T c² ln c": plain * np.log(half["cut"])})
    return table.set_index("cut")


def folded(
    displacement: float | int, cut: int, size: int, *, draws: int = 500, fine: int = 128, seed: int = 0
) -> float:
    """The share of maximum-entropy fields that fold at a nominal δ in pixels of a size x size image.

    Each field is looked at on fine x fine points, since folds may be narrower than a pixel.

    >>> folded(1.0, 3, 32, draws=50)
    0.0
    """
    coefficients = diffeo.sample_coefficients(draws, cut, generator=torch.Generator().manual_seed(seed))
    temperature = diffeo.temperature(displacement, cut, size)
    parts = [diffeo.displacement_field(part, temperature, fine) for part in coefficients.split(50)]
    return 1 - torch.cat([diffeo.is_bijective(part) for part in parts]).double().mean().item()


def squared_norm(temperature: float | int, cut: int) -> float:
    r"""$\|\tau\|^2 = \frac T2\sum 1/(i^2+j^2)$, both components, in units of the image's side; modes of B's text.

    >>> round(squared_norm(1.0, 3), 3)  # modes (1, 1), (1, 2), (2, 1), (2, 2)
    0.512
    """
    index = torch.arange(1, cut + 1)
    kept = diffeo.kept_modes(cut, rule="paper")
    return temperature / 2 * (kept / (index[:, None] ** 2 + index**2)).sum().item()


def median_ratio(components: int = 10, images: int = 2000, *, seed: int = 0) -> float:
    """Sum over components of the median of their squared changes, over the median of the sum: normal changes."""
    normal = torch.randn(2, images, components, generator=torch.Generator().manual_seed(seed))
    found = []
    for statistic in ("component_median", "median"):
        reducer = moments.reducer(statistic, images)
        reducer.begin(images)
        reducer.update(torch.stack([normal[0], normal[0] + normal[1], normal[0]]))
        found.append(reducer.results()[0].tau)
    return found[0] / found[1]


def fashion(count: int = 500) -> Float[Tensor, "count 1 28 28"]:
    """The first test pictures of the data set that comes with the package, normalised."""
    images = data.load("fashion-mini")
    return images.normalise(images.test.images[:count])


def blur(images: Float[Tensor, "image channel height width"]) -> float:
    """Relative change ‖τx - x‖/‖x‖ that B's Gaussian interpolation makes at T = 0, all images together."""
    still = torch.zeros(len(images), 2, *images.shape[-2:])
    return ((warp(images, still, "gaussian") - images).norm() / images.norm()).item()


def radii(images: Float[Tensor, "image channel height width"], *, seed: int = 0) -> dict[str, float]:
    """Spread of ‖τx - x‖ over images at δ = 1, c = 3, and what one mean radius does to the mean squared noise.

    variation: standard deviation over mean. lower by: 1 - ⟨r⟩²/⟨r²⟩, what G of a linear function loses.
    """
    moved = diffeo.deform(images, generator=torch.Generator().manual_seed(seed)) - images
    radius = moved.flatten(1).norm(dim=1).double()
    ratio = radius.mean() ** 2 / radius.square().mean()
    return {"variation": (radius.std() / radius.mean()).item(), "lower by": 1 - ratio.item()}


def draws(images: Float[Tensor, "image channel height width"], *, count: int = 8, seed: int = 0) -> pd.DataFrame:
    """D, G, R at the output of an untrained LeNet for `count` draws of one τ and one η an image."""
    channels, size = images.shape[1], images.shape[-1]
    model = models.build("lenet", in_channels=channels, image_size=size, generator=seeded(seed, "weights"))
    parts = [
        point_values(model, images, layers="output", generator=torch.Generator().manual_seed(number))
        for number in range(count)
    ]
    return pd.concat(parts, ignore_index=True)[["D", "G", "R"]]


@lru_cache(maxsize=1)
def batch_norm(
    architecture: str = "vgg11_bn", count: int = 200, *, width: float = 0.125, seed: int = 0
) -> pd.DataFrame:
    """D, G, R at the output of an untrained network that normalises by each batch, or by stored means and variances."""
    model = models.build(architecture, in_channels=1, image_size=28, width=width, generator=seeded(seed, "weights"))
    lines = {}
    for name, of_batch in (("of the batch", True), ("as stored", False)):
        probe = torch.Generator().manual_seed(seed)
        table = point_values(model, fashion(count), layers="output", batch_statistics=of_batch, generator=probe)
        lines[name] = table[["D", "G", "R"]].iloc[-1]
    return pd.DataFrame(lines).T.rename_axis("statistics")


def kept_geometry(mode: str, *, seed: int = 0) -> float:
    """Largest change in the inner products of a layer's output channels when its inputs are shuffled, over the largest.

    Zero if all output channels see the same permutation: as seen by the layer, its inputs are merely renamed.
    """
    layer = torch.nn.Sequential(torch.nn.Conv2d(32, 32, 3))
    torch.nn.init.normal_(layer[0].weight, generator=torch.Generator().manual_seed(seed))
    shuffled = shuffle_channels(layer, mode=mode, generator=torch.Generator().manual_seed(seed))
    before, after = (net[0].weight.detach().double().flatten(1) for net in (layer, shuffled))
    off = 1 - torch.eye(len(before))
    change = (after @ after.T - before @ before.T).abs().max()
    return (change / (off * (before @ before.T)).abs().max()).item()


@lru_cache(maxsize=2)
def selection(
    architecture: str = "fc_l4", *, train: int = 1000, epochs: int = 40, seeds: range = range(5)
) -> pd.DataFrame:
    """Error on both halves of 1,000 test images after every epoch: seed, epoch, first, second (fractions).

    Small networks on `fashion-mini` by the papers' recipe. The same training runs twice, once watched on each
    half; nothing that is watched acts on it.
    """
    images = data.load("fashion-mini")
    halves = torch.arange(len(images.test)).chunk(2)
    parts = []
    for seed in seeds:
        curves = {}
        for name, half in zip(("first", "second"), halves, strict=True):
            model = models.build(architecture, in_channels=1, image_size=28, generator=seeded(seed, "weights"))
            order = torch.randperm(len(images.train), generator=seeded(seed, "subset"))[:train]
            recipe = recipes.paper(architecture, epochs=epochs, augment=False)
            run = fit(model, images.train.take(order), recipe, normalise=images.normalise, seed=seed,
                      validation=images.test.take(half))  # fmt: skip
            curves[name] = [row["validation_error"] for row in run.history]
        parts.append(pd.DataFrame({"seed": seed, "epoch": range(1, epochs + 1), **curves}))
    return pd.concat(parts, ignore_index=True)


def optimism(rows: pd.DataFrame, images: int = 500) -> pd.DataFrame:
    """What picking the best epoch on the images that are reported on gains: a line a seed and watching half.

    reported: the smallest error on the watched half. honest: the error on the other half at that epoch. last: the
    mean of both halves after the last epoch. gain: honest - reported, and the same in standard deviations of an error
    counted on `images` images. The two halves are not equally hard; averages over both ways are free of that.
    """
    lines = []
    for seed, run in rows.groupby("seed"):
        for watched, other in (("first", "second"), ("second", "first")):
            best = run.loc[run[watched].idxmin()]
            gain = best[other] - best[watched]
            spread = math.sqrt(best[other] * (1 - best[other]) / images)
            lines.append({"seed": seed, "watched": watched, "epoch": int(best["epoch"]), "reported": best[watched],
                          "honest": best[other], "last": run[["first", "second"]].iloc[-1].mean(),
                          "gain": gain, "in deviations": gain / spread})  # fmt: skip
    return pd.DataFrame(lines)


def label_changes(task: TwoPixelTask, xi: float | int, gap: float | int) -> float:
    """The share of inputs and single-pixel moves of task 1 (clipped at the edge) that end in the other class."""
    crossed = 0.0
    for probability, positions in translations(task, boundary="clip"):
        distance = (positions[:, 0] - positions[:, 1]).double().norm(dim=-1)
        near, far = distance < xi - gap / 2, distance >= xi + gap / 2
        crossed += probability * ((task.labels > 0) & far | (task.labels < 0) & near).double().mean().item()
    return crossed


def collisions(task: TwoPixelTask) -> float:
    """The share of inputs and moves in which the two active pixels meet (moves clipped at the edge)."""
    return sum(
        probability * (positions[:, 0] == positions[:, 1]).all(-1).double().mean().item()
        for probability, positions in translations(task, boundary="clip")
    )


def exponents(task: int, *, rectified: bool = True) -> pd.Series:
    """Exponents of D, G and R in A_k that the exact theory has in networks of A's size (A Fig. 9).

    Layers 2 to 6 of task 1; in task 2 layers 1 to 4, with the moves of the authors' code. rectified: the noise.
    """
    if task == 1:
        table = theory.homogeneous_sensitivities(6, 3, 1, 32, 1, 11, gap=4, rectified=rectified).iloc[1:]
    else:
        table = theory.homogeneous_sensitivities(4, 2, 2, 128, 2, 32, moves="constrained", rectified=rectified)
    return pd.Series({q: float(np.polyfit(np.log(table["A"]), np.log(table[q]), 1)[0]) for q in "DGR"})


def mean_channels(channels: int = 64, *, seed: int = 0) -> float:
    """Norm of the one channel of a network of mean filters over that of the mean of its channels, untrained filters.

    One layer of `channels` 3 x 3 filters with ReLU on `fashion-mini`; the first is what A Fig. 9 says, the second what
    the authors' code averages. One if all filters are alike.
    """
    weight = torch.randn(channels, 1, 3, 3, generator=torch.Generator().manual_seed(seed))
    images = fashion(100)
    mean_of_channels = torch.nn.functional.conv2d(images, weight).relu().mean(1)
    of_mean_filter = torch.nn.functional.conv2d(images, weight.mean(0, keepdim=True)).relu()
    return (of_mean_filter.norm() / mean_of_channels.norm()).item()


def untrained_filters(law: str, count: int = 200_000, *, seed: int = 0) -> Float[Tensor, "count 1 3 3"]:
    """3 x 3 filters from a law of `LAWS`: normal, the same cut at two standard deviations,
    or uniform (torch's default).
    """
    if law not in LAWS:
        raise ValueError(f"law is {law!r}; it must be one of {', '.join(LAWS)}")
    generator = torch.Generator().manual_seed(seed)
    weight = torch.empty(count, 1, 3, 3)
    if law == "truncated normal":
        return torch.nn.init.trunc_normal_(weight, a=-2, b=2, generator=generator)
    return weight.normal_(generator=generator) if law == "normal" else weight.uniform_(-1, 1, generator=generator)


def roughness(count: int = 200_000) -> pd.DataFrame:
    """TV/L1 of untrained 3 x 3 filters by law: the mean over single filters, and C's formula, one ratio of sums."""
    table = {
        law: {
            reading: filters.total_variation(untrained_filters(law, count), reading) for reading in ("slices", "pooled")
        }
        for law in LAWS
    }
    return pd.DataFrame(table).T.rename_axis("law")


def source_or_destination(
    size: int = 32, points: int = 3, maximum: float | int = 2.0, *, draws: int = 50, margin: int = 4, seed: int = 0
) -> dict[str, float]:
    """How far apart C's two readings of one random draw are, pixels rms, away from the frame.

    source: the displacement drawn at a control point says where its colour comes from; destination: where the
    colour goes, so that the image is read through the inverse map.
    """
    drawn = thin_plate.sample_displacements(draws, points, maximum, generator=torch.Generator().manual_seed(seed))
    source = thin_plate.displacement_field(drawn, size)
    destination = invert(-source)  # p -> p + v(p), read backward; v has the same law as -v
    inside = slice(margin, size - margin)
    fields = {"displacement": source, "difference": destination - source}
    return {name: field[..., inside, inside].square().sum(1).mean().sqrt().item() for name, field in fields.items()}
