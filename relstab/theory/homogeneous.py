r"""Exact finite-size sensitivities of the network with homogeneous filters (paper A, Sec. 4, Eqs. 4-9).

With equal, non-negative taps and no bias the layers are linear on the data, :math:`f_k(x) = M_k x`, so
every expectation of A Eq. 1 is a contraction of the Gram matrix :math:`K_k = M_k^T M_k` with a second
moment that does not depend on the layer:

.. math::
    D_k = \frac{\langle N, K_k \rangle}{2 \langle C, K_k \rangle}, \quad
    G_k = \frac{\langle \Sigma, K_k \rangle}{2 \langle C, K_k \rangle}, \quad
    N = E[(\tau x - x)(\tau x - x)^T], \quad C = \mathrm{Cov}(x), \quad \Sigma = E[\phi(\eta) \phi(\eta)^T].

`N` and `C` are sums over all pairs of pixels and all four sign choices. The noise has variance tr N / L
before it is rectified, hence :math:`\Sigma = \sigma^2 [(1/2 - 1/2\pi) I + 1/2\pi]`. For stride 1 the Gram
matrix is circulant with eigenvalues :math:`\lambda(q)^{2k}`, :math:`\lambda(q) = \sin(Fq/2) / (F
\sin(q/2))`; for stride F it is one inside blocks of F^k pixels and zero outside. Both make hundreds of
layers cost nothing.

>>> homogeneous_sensitivities(2, 3, 1, 32, 1, 11, gap=4).round(3)
   k      A      D      G      R
0  1  0.816  0.363  0.880  0.412
1  2  1.155  0.178  1.126  0.158
"""

from math import pi

import numpy as np
import pandas as pd

from relstab.theory.diffusion import effective_receptive_field, kernel

MOVES = ("free", "constrained")
EXPONENTS = {1: {"D": -2, "G": 1, "R": -3}, 2: {"D": -1, "G": 1, "R": -2}}
ROUNDING = 1e-12  # below this fraction of the signal, a variance is rounding error of an exact zero


def homogeneous_sensitivities(
    layers: int,
    filter_size: int,
    stride: int,
    length: int,
    task: int,
    xi: float | int,
    gap: float | int = 0,
    *,
    moves: str = "free",
    rectified: bool = True,
    balanced: bool = False,
) -> pd.DataFrame:
    """Columns k, A, D, G, R for k = 1, ..., layers on the ring of `length` pixels; nothing is sampled.

    Both pixels move by one, all four sign choices enumerated: `moves` is "free" (on the ring) or
    "constrained" (task 2 only: a pixel that would leave its block of size xi stays, as in the authors'
    code). Without `rectified` the noise keeps its sign. All admissible pairs count alike, or, if
    `balanced`, both classes do. `gap` is the paper's: d < xi - gap/2 or d >= xi + gap/2. Where f_k is the
    same for all inputs the normaliser is zero and D, G are NaN; R is NaN where D or G is, or where G is
    zero.

    Raises ValueError for a stride other than 1 or F, for stride F if F^layers does not divide the length, for
    unknown moves or tasks, and for tasks without pairs. Source: paper A, Eqs. 1 and 4-9.

    >>> table = homogeneous_sensitivities(3, 3, 3, 81, 2, 27)  # task 2, stride 3
    >>> table["A"].round(6).tolist(), table["R"].is_monotonic_decreasing
    ([3.0, 9.0, 27.0], True)
    """
    moved, covariance = _second_moments(length, task, xi, gap, moves, balanced)
    area = effective_receptive_field(layers, filter_size, stride).numpy()
    variance = np.trace(moved) / length
    white, constant = (0.5 - 0.5 / pi, 0.5 / pi) if rectified else (1.0, 0.0)
    noise = variance * (white * np.eye(length) + constant)
    contract = _contract_walk if stride == 1 else _contract_blocks
    above_d, above_g, below = (contract(m, layers, filter_size) for m in (moved, noise, covariance))
    below = np.where(below > 0, 2 * below, np.nan)
    table = pd.DataFrame({"k": np.arange(1, layers + 1), "A": area, "D": above_d / below, "G": above_g / below})
    table["R"] = table.D / table.G.where(table.G != 0)
    return table


def _second_moments(
    length: int, task: int, xi: float | int, gap: float | int, rule: str, balanced: bool
) -> tuple[np.ndarray, np.ndarray]:
    """N and C of the module docstring for unit pixels, [length, length] each."""
    if rule not in MOVES or (rule == "constrained" and task != 2):
        raise ValueError(f"moves is {rule!r} in task {task}; allowed are 'free', and 'constrained' in task 2")
    first, second, near = _pairs(length, task, xi, gap)
    if not len(near) or (balanced and (near.all() or not near.any())):
        raise ValueError(f"xi is {xi} and gap is {gap}; they leave no pairs in a class, at length {length}")
    weight = np.full(len(near), 1 / len(near))
    if balanced:
        weight = np.where(near, 0.5 / near.sum(), 0.5 / (~near).sum())
    pairs = np.zeros((length, length))
    pairs[first, second] = pairs[second, first] = weight
    active = pairs.sum(0)  # E[x], because a pixel is lit once in every pair it is part of
    hop = _hopping(length, int(xi) if rule == "constrained" else None)
    step = hop - np.eye(length)
    moved = np.diag(hop @ active + active) - hop * active - (hop * active).T + step @ pairs @ step.T
    return moved, np.diag(active) + pairs - np.outer(active, active)


def _pairs(length: int, task: int, xi: float | int, gap: float | int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two sites of every pair on the ring that the task admits, and whether they are close (or in one block)."""
    if not (length >= 2 and 0 < xi < np.inf and 0 <= gap < np.inf):
        raise ValueError(
            f"length is {length}, xi {xi} and gap {gap}; at least 2 pixels, xi > 0 and gap >= 0 are needed"
        )
    first, second = np.triu_indices(length, 1)
    if task == 1:
        apart = np.minimum(second - first, length - second + first)
        near, far = apart < xi - gap / 2, apart >= xi + gap / 2
        return first[near | far], second[near | far], near[near | far]
    if task != 2:
        raise ValueError(f"task is {task!r}; it must be 1 or 2")
    if gap or xi != int(xi) or length % int(xi):
        raise ValueError(f"xi is {xi} and gap is {gap}; task 2 needs a whole xi that divides {length}, and gap 0")
    return first, second, first // int(xi) == second // int(xi)


def _hopping(length: int, block: int | None) -> np.ndarray:
    """P[v, u], the probability that a pixel at u goes to v; with a block none leaves its own."""
    here = np.arange(length)
    hop = np.zeros((length, length))
    for step in (-1, 1):
        there = (here + step) % length
        if block:
            there = np.where((here + step) // block == here // block, there, here)
        hop[there, here] += 0.5
    return hop


def _contract_walk(matrix: np.ndarray, layers: int, filter_size: int) -> np.ndarray:
    """<matrix, K_k> for stride 1, by the Fourier modes of the matrix's circulant part."""
    length = len(matrix)
    sites = np.arange(length)
    diagonals = matrix[sites, (sites + sites[:, None]) % length].sum(1)
    modes = np.fft.fft(diagonals).real / length
    modes[np.abs(modes) < ROUNDING * np.abs(modes).max(initial=0)] = 0
    gain = np.abs(np.fft.fft(kernel(filter_size, length))) ** 2
    gain[gain < ROUNDING**2] = 0
    return gain ** np.arange(1, layers + 1)[:, None] @ modes


def _contract_blocks(matrix: np.ndarray, layers: int, filter_size: int) -> np.ndarray:
    """<matrix, K_k> for stride F: the sum over the diagonal blocks of side F^k."""
    sums, floor = [], ROUNDING * np.abs(matrix).sum()
    for _ in range(layers):
        if len(matrix) % filter_size:
            raise ValueError(f"layers is {layers}; with stride {filter_size} the length must divide by its power")
        blocks = len(matrix) // filter_size
        matrix = matrix.reshape(blocks, filter_size, blocks, filter_size).sum((1, 3))
        sums.append(np.trace(matrix))
    sums = np.array(sums)
    return np.where(np.abs(sums) < floor, 0.0, sums)


def asymptotes(
    table: pd.DataFrame, task: int, *, anchor: int = -1, quantities: tuple[str, ...] = ("D", "G", "R")
) -> pd.DataFrame:
    """Power laws of A Eqs. 5, 7 (task 1) or 8, 9 (task 2), through row `anchor` of the table.

    >>> table = homogeneous_sensitivities(10, 3, 1, 64, 1, 16)
    >>> local_exponents(asymptotes(table, task=1)).round(3).tail(1)[["D", "G", "R"]].values.tolist()
    [[-2.0, 1.0, -3.0]]
    """
    lines = table.loc[:, ["k", "A"]].copy()
    for quantity in quantities:
        reach = table.A / table.A.iloc[anchor]
        lines[quantity] = table[quantity].iloc[anchor] * reach ** EXPONENTS[task][quantity]
    return lines


def local_exponents(table: pd.DataFrame) -> pd.DataFrame:
    """d log X / d log A between consecutive rows, X = D, G, R, at the geometric mean of their A.

    >>> table = pd.DataFrame({"A": [1.0, 2.0], "D": [1.0, 0.25], "G": [1.0, 2.0], "R": [1.0, 0.125]})
    >>> local_exponents(table).round(2).values.tolist()
    [[1.41, -2.0, 1.0, -3.0]]
    """
    change = table[["A", "D", "G", "R"]].transform(np.log).diff().iloc[1:]
    exponents = change[["D", "G", "R"]].div(change.A, axis=0)
    exponents.insert(0, "A", np.sqrt(table.A * table.A.shift()).iloc[1:])
    return exponents.reset_index(drop=True)
