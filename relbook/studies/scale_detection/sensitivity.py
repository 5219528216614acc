r"""D, G, R of every layer of an ensemble of simple CNNs, deformations enumerated (paper A, Eq. 1, Fig. 9).

The expectation over local translations is the sum over all sign choices, so D has no Monte-Carlo noise; the
noise is max(0, eta) with normal eta, whose variance per pixel is that of tau(x) - x over all inputs and
translations (paper A, App. B.2), drawn `draws` times for every input and shared by all members and layers.
Each quantity is also measured on the mean channel, f_k averaged over channels, where it overlaps with the
full one if all channels do the same (A Fig. 9, dotted).

>>> from relbook.studies.scale_detection.tasks import line_task
>>> from relbook.studies.scale_detection import networks as simple_cnn
>>> net = simple_cnn.homogeneous(simple_cnn.Architecture(layers=2, width=1, filter_size=3))
>>> rows = sensitivities(net, line_task(1, 32, 11, gap=4), draws=1, seed=0)
>>> round(rows[0]["D"], 3), round(rows[1]["D"], 3)
(0.363, 0.178)
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from relbook.studies.scale_detection import networks as simple_cnn
from relbook.studies.scale_detection.networks import Ensemble
from relbook.studies.scale_detection.tasks import TwoPixelTask, rectified_noise, translations
from relstab.theory import effective_receptive_field

READINGS = {"": lambda f: f, "_mean_channel": lambda f: f.mean(1, keepdim=True)}


@torch.no_grad()
def sensitivities(
    ensemble: Ensemble, task: TwoPixelTask, *, boundary: str = "periodic", draws: int, seed: int, chunk: int = 512
) -> list[dict]:
    """Rows by member and layer: member, k, A; D, G, R and those of the mean channel; four diagnostics.

    alignment : H |mean channel|² / |f_k|², one if all channels are equal
    flatness : share of |w_k|² in the constant mode of each filter, one for homogeneous filters
    peak : share of |w_k|² in the largest tap of each filter, one for one-hot filters
    mean_square : mean of w_k², one at initialisation
    Where a representation is the same for all inputs, D, G and R are NaN.
    """
    device = ensemble.offset.device
    tally: dict[tuple, Tensor] = {}
    ways = list(translations(task, boundary=boundary))
    variance = _power(task, ways)
    draw = torch.Generator().manual_seed(seed)
    for start in range(0, len(task), chunk):
        part = slice(start, min(start + chunk, len(task)))
        clean_images = task.images(task.positions[part])
        clean = _read(ensemble, clean_images.to(device))
        for key, f in clean.items():
            _add(tally, (*key, "square"), _norms(f).sum(1))
            _add(tally, (*key, "sum"), f.double().sum(2))
        for probability, positions in ways:
            moved = _read(ensemble, task.images(positions[part]).to(device))
            _compare(tally, "D", clean, moved, probability)
        for _ in range(draws):
            noise = rectified_noise(len(clean_images), task.shape, variance, generator=draw)
            _compare(tally, "G", clean, _read(ensemble, (clean_images + noise).to(device)), 1 / draws)
    return _rows(ensemble, tally, len(task))


def _power(task: TwoPixelTask, ways: Iterable[tuple]) -> float:
    """Mean over inputs, translations and pixels of (tau(x) - x)²."""
    clean = task.images()
    return sum(p * (task.images(positions) - clean).square().mean().item() for p, positions in ways)


def _read(ensemble: Ensemble, images: Tensor) -> dict[tuple, Tensor]:
    """{(layer, reading): [member, channel, image, site]}."""
    stack = simple_cnn.representations(ensemble, images)
    return {(k, name): reading(f) for k, f in enumerate(stack, 1) for name, reading in READINGS.items()}


def _norms(f: Tensor) -> Tensor:
    """Squared norm per [member, image]; summed in double, since images differ little in deep layers."""
    return f.square().sum(1).sum(-1, dtype=torch.float64)


def _add(tally: dict, key: tuple, value: Tensor) -> None:
    tally[key] = tally[key] + value if key in tally else value


def _compare(tally: dict, quantity: str, clean: dict, changed: dict, weight: float | int) -> None:
    for key, f in clean.items():
        _add(tally, (*key, quantity), weight * _norms(changed[key] - f).sum(1))


def _rows(ensemble: Ensemble, tally: dict, count: int) -> list[dict]:
    architecture = ensemble.architecture
    area = effective_receptive_field(architecture.layers, architecture.filter_size, architecture.stride)
    members = range(len(ensemble.offset))
    rows = [[{"member": m, "k": k, "A": a} for k, a in enumerate(area.tolist(), 1)] for m in members]
    for k, weight in enumerate(ensemble.filters, 1):
        taps = weight.unflatten(-1, (architecture.filter_size, -1)).double()
        square, energy = taps.square().mean((1, 2, 3)), taps.square().sum((1, 2, 3))
        flat = taps.sum(2).square().sum((1, 2)) / architecture.filter_size / energy
        peak = taps.square().amax(2).sum((1, 2)) / energy
        full, mean = (tally[k, name, "square"] for name in READINGS)
        aligned = architecture.width * mean / full
        for m in members:
            row = rows[m][k - 1]
            values = {"alignment": aligned, "flatness": flat, "peak": peak, "mean_square": square}
            row |= {name: value[m].item() for name, value in values.items()}
            for name in READINGS:
                row |= _ratios({q: tally[k, name, q][m] for q in ("square", "sum", "D", "G")}, count, name)
    return [row for member in rows for row in member]


def _ratios(sums: dict[str, Tensor], count: int, name: str) -> dict[str, float]:
    """D, G, R from sums over inputs; the normaliser is twice the variance of the representation."""
    square = sums["square"].item() / count
    spread = 2 * (square - (sums["sum"] / count).square().sum().item())
    D, G = (sums[q].item() / count / spread if spread > 1e-9 * square else float("nan") for q in ("D", "G"))
    return {f"D{name}": D, f"G{name}": G, f"R{name}": D / G if G else float("nan")}
