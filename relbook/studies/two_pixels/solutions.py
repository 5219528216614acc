r"""Two constructed solutions of the scale-detection task, and how differently they take noise (slides D).

On a ring of 32 pixels with xi = 7, sum z over a window of 2 * 3 + 1 = 7 sites, subtract one, rectify and
sum over positions: only windows that hold both pixels answer, and there are xi - d of them,

.. math:: s_i = \sum_{|j| \le 3} z_{i+j}, \quad f(x) = \sum_i \phi(s_i - 1) = \phi(\xi - d).

The low-frequency solution pools at once, z = x. The high-frequency solution has one-hot filters in three
channels of its first layer, so that ReLU acts on single pixels before they are pooled, z = max(0, x). Both
compute the same f on the data, so they share D; noise is rectified before it is summed in the second only,
so G is larger there.

D is a finite sum over all pairs and moves. G needs E[f(x + eta)^2]: the windows i and j share some sites,
so given the sum over those the two are independent, and laws of sums are computed by convolution on a fine
grid.

>>> two_pixel_sensitivities().round(4)
  solution      D        G       R
0      low  0.064   4.4334  0.0144
1     high  0.064  17.7750  0.0036
"""

from functools import lru_cache
from math import sqrt
from typing import Any, SupportsIndex

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from relbook.studies.scale_detection.tasks import line_task, translations
from relstab.extras import extra

SOLUTIONS = ("low", "high")
STEP = 1 / 400  # of the grid of values, in pixel units; G changes by less than 1e-5 when it is halved
TAIL = 8.0  # standard deviations kept of a single pixel's noise


def output(images: Float[Tensor, "image length"], xi: int, solution: str = "low") -> Float[Tensor, " image"]:
    """f(x) of a constructed solution; on two unit pixels at distance d it is max(0, xi - d).

    Raises ValueError for an even xi (a window has a centre) and for an unknown solution.

    >>> import torch
    >>> pair = torch.zeros(1, 32)
    >>> pair[0, [4, 6]] = 1.0  # at distance 2, xi = 7
    >>> output(pair, 7).item(), output(pair, 7, "high").item()
    (5.0, 5.0)
    """
    _check(xi, solution)
    z = images if solution == "low" else images.clamp(min=0)
    half = xi // 2
    sums = z.roll(-half, -1)
    for shift in range(1 - half, half + 1):
        sums = sums + z.roll(shift, -1)
    return (sums - 1).clamp(min=0).sum(-1)


def two_pixel_sensitivities(
    length: int = 32, xi: int = 7, *, stay: bool = True, noise_power: float = 8 / 3
) -> pd.DataFrame:
    """D, G, R of the output of both solutions, over all pairs of unit pixels: columns solution, D, G, R.

    Each pixel moves by -1, 0 or +1 with probability 1/3 (`stay`), or by -1 or +1. `noise_power` is
    :math:`l \\sigma^2`, the mean squared norm of the noise: 8/3 is that of two distant pixels' displacement.

    >>> table = two_pixel_sensitivities(16, 3)
    >>> table["solution"].tolist(), bool(table["D"][0] == table["D"][1]), bool(table["G"][0] < table["G"][1])
    (['low', 'high'], True, True)
    """
    _check(xi, "low")
    if length <= 2 * xi:
        raise ValueError(f"length is {length}; it must exceed 2 xi = {2 * xi}, or windows meet twice on the ring")
    task = line_task(1, length, xi)
    clean = output(task.images(value=1.0).squeeze(1).double(), xi)
    moved = sum(
        probability * (output(task.images(positions, value=1.0).squeeze(1).double(), xi) - clean).square().mean()
        for probability, positions in translations(task, stay=stay)
    )
    spread = 2 * clean.var(correction=0)
    apart = (task.positions[:, 1, 0] - task.positions[:, 0, 0]).numpy()
    distances, counts = np.unique(np.minimum(apart, length - apart), return_counts=True)
    rows = []
    for solution in SOLUTIONS:
        response = [_noise_response(length, xi, int(d), noise_power, solution) for d in distances]
        D, G = (moved / spread).item(), np.average(response, weights=counts) / spread.item()
        rows.append({"solution": solution, "D": D, "G": G, "R": D / G})
    return pd.DataFrame(rows)


def layer_sensitivities(
    length: int = 32, xi: int = 7, *, channels: int = 3, stay: bool = True, noise_power: float = 8 / 3
) -> pd.DataFrame:
    """D, G, R of the two layers before the output, exactly: columns solution, layer, D, G, R.

    Layer "first" is the rectified sum over `channels` neighbours (low), or as many channels that see one pixel each
    (high); "windows" is :math:`\\phi(s_i - 1)` at all positions.

    Args:
        channels: Odd number of channels of the high-frequency solution, and of taps of the other's filter.
        stay: As in `two_pixel_sensitivities`, like `noise_power`.

    >>> layer_sensitivities(16, 3)["layer"].tolist()
    ['first', 'windows', 'first', 'windows']
    """
    _check(xi, "low")
    if channels < 1 or channels % 2 == 0:
        raise ValueError(f"channels is {channels}; it must be odd and at least 1")
    task, sigma = line_task(1, length, xi), sqrt(noise_power / length)
    images = task.images(value=1.0).squeeze(1).double().numpy()
    moves = [
        (probability, task.images(positions, value=1.0).squeeze(1).double().numpy())
        for probability, positions in translations(task, stay=stay)
    ]
    rows = []
    for solution in SOLUTIONS:
        taps = channels if solution == "low" else 1  # channels see the same pixel each, and so count alike
        answers = {"first": lambda x, taps=taps: _sums(x, taps), "windows": lambda x: np.maximum(_sums(x, xi) - 1, 0)}
        for layer, answer in answers.items():
            clean = answer(images)
            moved = sum(share * ((answer(other) - clean) ** 2).sum(1).mean() for share, other in moves)
            if layer == "first":
                noise = _rectified(clean, sigma * sqrt(taps)).sum(1).mean()
            else:
                held = _sums(images, xi).astype(int)
                change = [_window_change(xi, lit, sigma, solution) for lit in range(held.max() + 1)]
                noise = np.array(change)[held].sum(1).mean()
            spread = 2 * clean.var(0).sum()
            rows.append(
                {"solution": solution, "layer": layer, "D": moved / spread, "G": noise / spread, "R": moved / noise}
            )
    return pd.DataFrame(rows)


def _sums(x: np.ndarray, width: int) -> np.ndarray:
    """Sums over windows of `width` sites on the ring, along the last axis."""
    return sum(np.roll(x, shift, -1) for shift in range(-(width // 2), width // 2 + 1))


def _rectified(value: np.ndarray, sigma: float) -> np.ndarray:
    """E (max(0, a + n) - a)^2 for Gaussian n of standard deviation sigma, a not negative."""
    u = value / sigma
    density, below = np.exp(-(u**2) / 2) / sqrt(2 * np.pi), _scipy("special").ndtr(-u)
    return sigma**2 * (1 - below - u * density) + value**2 * below


def _window_change(xi: int, lit: int, sigma: float, solution: str) -> float:
    """E (max(0, s - 1) - max(0, lit - 1))^2 of a window that holds `lit` active pixels."""
    start, law = _law(xi, lit, sigma, solution)
    answers = np.maximum((start + np.arange(len(law))) * STEP - 1, 0)
    return law @ (answers - max(0, lit - 1)) ** 2


def _check(xi: int, solution: str) -> None:
    if xi < 3 or xi % 2 == 0:
        raise ValueError(f"xi is {xi}; it must be odd and at least 3")
    if solution not in SOLUTIONS:
        raise ValueError(f"solution is {solution!r}; it must be one of {', '.join(SOLUTIONS)}")


def _noise_response(length: int, xi: int, distance: int, noise_power: float | int, solution: str) -> float:
    """E (f(x + eta) - f(x))^2 for two unit pixels at the given distance."""
    sigma, half = sqrt(noise_power / length), xi // 2
    sites = np.arange(length)
    inside = (sites[:, None] - sites + half) % length < xi  # [window, site]
    lit = np.zeros(length, dtype=int)
    lit[[0, distance]] = 1
    held = inside @ lit
    means = np.array([_mean_answer(xi, int(n), sigma, solution) for n in held])
    square = 0.0
    for i in range(length):
        for j in range(length):
            shared = inside[i] & inside[j]
            if not shared.any():
                square += means[i] * means[j]
                continue
            both = int(shared @ lit)
            only = sorted((int(held[i]) - both, int(held[j]) - both))
            square += _joint_answer(xi, int(shared.sum()), both, *only, sigma, solution)
    clean = max(0, xi - distance)
    return square - 2 * clean * means.sum() + clean**2


@lru_cache
def _law(sites: int, lit: int, sigma: float, solution: str) -> tuple[SupportsIndex, np.ndarray]:
    """The law of a sum of z over `sites` sites, `lit` of them active: (lowest grid index, probabilities)."""
    if sites == 0:
        return 0, np.ones(1)
    reach = int(np.ceil(TAIL * sigma / STEP))
    index = np.arange(-reach, reach + 1 + round(1 / STEP))
    value = float(lit > 0)
    edges = (np.append(index, index[-1] + 1) - 0.5) * STEP
    one = np.diff(_scipy("special").ndtr((edges - value) / sigma))
    if solution == "high":
        one[index == 0] += one[index < 0].sum()
        index, one = index[index >= 0], one[index >= 0]
    low, rest = _law(sites - 1, max(0, lit - 1), sigma, solution)
    return low + index[0], _scipy("signal").fftconvolve(rest, one).clip(min=0)


@lru_cache
def _answer(sites: int, lit: int, sigma: float, solution: str, low: SupportsIndex, count: int) -> np.ndarray:
    """E max(0, c + sum - 1) over the law of the sum, for c = STEP * (low, ..., low + count - 1)."""
    start, law = _law(sites, lit, sigma, solution)
    total = low + start + np.arange(count + len(law) - 1)
    return _scipy("signal").fftconvolve(np.maximum(total * STEP - 1, 0), law[::-1], mode="valid")


@lru_cache
def _mean_answer(xi: int, lit: int, sigma: float, solution: str) -> float:
    return _answer(xi, lit, sigma, solution, 0, 1)[0]


@lru_cache
def _joint_answer(xi: int, shared: int, both: int, first: int, second: int, sigma: float, solution: str) -> float:
    """E phi(s_i - 1) phi(s_j - 1) for windows that share `shared` sites."""
    low, law = _law(shared, both, sigma, solution)
    answers = [_answer(xi - shared, lit, sigma, solution, low, len(law)) for lit in (first, second)]
    return law @ (answers[0] * answers[1])


def _scipy(part: str) -> Any:
    return extra(f"scipy.{part}", "the law of the two-pixel solutions")
