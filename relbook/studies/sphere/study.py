r"""A task whose symmetries are all rotations, learnt lazily and with features (slides D, spherical model).

Points on the unit sphere, all with label 1. A one-hidden-layer network without biases learns it by gradient
descent on the mean square loss of F = α (f - f₀). After training it measures, per member,

.. math:: \text{test mse} = \langle (F(x) - 1)^2 \rangle, \qquad
   S = \langle (F(x) - F(R_\theta x))^2 \rangle, \qquad
   \kappa = \sum_{h,h'} m_h m_{h'}\, e^{20 (u_h \cdot u_{h'} - 1)} ,

θ = 10°; m_h are the neurons' shares of mass |c_h| |w_h| and u_h their directions. κ counts how much mass has
the same direction: it is small and unchanged if the neurons keep the symmetry of their random start, and
grows as they condense onto few directions. The lazy limit is also computed exactly, for infinitely wide
networks (`relbook.studies.sphere.ntk`), and appears as α = ∞.

>>> unit = Sphere(scale="tiny", seed=1, members=2, dimension=3, train=8, width=50, alphas=(100.0,), limit=200)
>>> [(row["member"], row["alpha"]) for row in unit.run()]
[(1, inf), (2, inf), (1, 100.0), (2, 100.0)]
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from relbook import scales
from relbook.studies import one_hidden, toys
from relbook.studies.sphere import ntk
from relstab.random import seeded
from relstab.store import records
from relstab.train import checkpoints

ANGLE = math.radians(10)
TEST = 4000  # points on which mse and S are measured
FITTED = 1e-5  # mean square error on the training set at which a member stops
LAZY, FEATURE = 100.0, 0.03  # the two regimes of the slides
STEP = 0.5  # learning rate, in units in which the outputs of a lazy network relax at a rate of order one
SPEED = {"tiny": 1.5e10, "laptop": 1.5e10, "gpu": 1e12, "paper": 1e12}  # operations a second, for the estimate of costs


@dataclass(frozen=True)
class Sphere:
    """Seeds seed, ..., seed + members - 1 on `train` points in `dimension`, at each of `alphas`."""

    study: ClassVar[str] = "sphere"
    spread: ClassVar[float] = 0.25  # of most rows over kinds of processors (`relbook.audit`)
    version: ClassVar[int] = 1
    scale: str
    seed: int
    members: int
    dimension: int
    train: int
    width: int
    alphas: tuple[float, ...]
    limit: int

    @property
    def cost_minutes(self) -> float:
        """Rough cost at the limit, from the operations of the steps."""
        operations = 20 * self.members * self.train * self.width * (self.dimension + 1) * self.limit * len(self.alphas)
        return operations / SPEED[self.scale] / 60

    def data_digest(self) -> str:
        """The data are random numbers: nothing is read."""
        return ""

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Rows by alpha and member: steps, train_mse, test_mse, S, concentration and weight_change.

        For α = ∞, the exact lazy limit, `concentration` is that of the members at their start. With a `workspace` an
        interrupted run goes on from its last checkpoint, to the same rows.
        """
        seeds = range(self.seed, self.seed + self.members)
        x, test, turned = (points.to(device) for points in _points(seeds, self.dimension, self.train))
        start = one_hidden.initialise(self.dimension, self.width, seeds, dtype=torch.float64).to(device)
        ones = torch.ones_like(x[..., 0])
        exact = [ntk.regression(x, ones, points) for points in (test, turned)]
        unmoved = {"steps": [0] * self.members, "train_mse": [0.0] * self.members}
        rows = _measures(seeds, math.inf, unmoved, *exact, start, start)
        for alpha in self.alphas:
            checkpoint = checkpoints.Regularly(_folder(workspace, alpha), records.fields(self), device=device)
            net, fit = descend(start, x, alpha=alpha, limit=self.limit, checkpoint=checkpoint)
            outputs = [alpha * (net(points) - start(points)) for points in (test, turned)]
            rows += _measures(seeds, alpha, fit, *outputs, net, start)
            if progress:
                progress(f"alpha {alpha}: {max(fit['steps'])} steps")
        return rows


@dataclass(frozen=True)
class Neurons:
    """One seed on the circle, and where its neurons are before and after training: for the picture."""

    study: ClassVar[str] = "sphere"
    spread: ClassVar[float] = 0.25  # of most rows over kinds of processors (`relbook.audit`)
    version: ClassVar[int] = 1
    scale: str
    seed: int
    train: int
    width: int
    alphas: tuple[float, ...]
    limit: int

    def data_digest(self) -> str:
        """The data are random numbers: nothing is read."""
        return ""

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Rows by neuron, with alpha (0 for the start): its position |c| w = (u, v), and the sign of c.

        Rows with sign 0 are the training points.
        """
        x = _points([self.seed], 2, self.train)[0].to(device)
        start = one_hidden.initialise(2, self.width, [self.seed], dtype=torch.float64).to(device)
        nets = {0.0: start} | {alpha: descend(start, x, alpha=alpha, limit=self.limit)[0] for alpha in self.alphas}
        rows = [{"alpha": 0.0, "u": u, "v": v, "sign": 0} for u, v in x[0].tolist()]
        for alpha, net in nets.items():
            where = (net.weights * net.readout.abs().unsqueeze(-1))[0]
            for (u, v), c in zip(where.tolist(), net.readout[0].tolist(), strict=True):
                rows.append({"alpha": alpha, "u": u, "v": v, "sign": 1 if c > 0 else -1})
        return rows


def _folder(workspace: Path | None, alpha: float | int) -> Path | None:
    """Where the descent at one α keeps its checkpoints."""
    return workspace and workspace / f"alpha-{alpha:g}"


def descend(
    start: one_hidden.OneHidden,
    x: Tensor,
    *,
    alpha: float | int,
    limit: int,
    checkpoint: checkpoints.Regularly | None = None,
) -> tuple[one_hidden.OneHidden, dict[str, list]]:
    """Gradient descent on mean (F - 1)²/2 from `start`, each member until its mse is below FITTED.

    The step is STEP H / (α max(1, α)) times the gradient, so that F moves at a rate of order one at every α.
    Returns (network, fit); fit has steps and train_mse per member. A member that does not get there has
    steps = limit. checkpoint: a `relstab.train.checkpoints.Regularly` to go on from and to write to.
    """
    net, base, first = start.copy(), start(x), 0
    steps = torch.full(x.shape[:1], limit, device=x.device)
    done = torch.zeros(x.shape[:1], dtype=torch.bool, device=x.device)
    if checkpoint is not None and (state := checkpoint.state) is not None:
        net.weights.copy_(state["weights"])
        net.readout.copy_(state["readout"])
        steps, done, first = state["steps"], state["done"], state["step"]
    for step in range(first, limit + 1):
        if checkpoint is not None:
            checkpoint.save(partial(_state, net, steps, done, step))
        hidden = net.hidden(x)
        residual = alpha * (net.read(hidden) - base) - 1
        mse = residual.square().mean(1)
        steps[(mse < FITTED) & ~done] = step
        done |= mse < FITTED
        if done.all() or step == limit:
            return net, {"steps": steps.tolist(), "train_mse": mse.tolist()}
        slope = residual / x.shape[1] / max(1.0, alpha) * ~done.unsqueeze(-1)
        pull = one_hidden.gradient(net, x, hidden, slope)
        net.weights.sub_(pull.weights, alpha=STEP)
        net.readout.sub_(pull.readout, alpha=STEP)


def _state(net: one_hidden.OneHidden, steps: Tensor, done: Tensor, step: int) -> dict[str, Any]:
    return {"weights": net.weights, "readout": net.readout, "steps": steps, "done": done, "step": step}


def concentration(net: one_hidden.OneHidden) -> Float[Tensor, " member"]:
    """κ of each member: 1 if all mass has one direction; if isotropic, it falls with dimension and width."""
    norm = net.weights.norm(dim=-1)
    mass = norm * net.readout.abs()
    share = mass / mass.sum(1, keepdim=True)
    direction = net.weights / norm.unsqueeze(-1)
    near = (20 * (direction @ direction.mT - 1)).exp()
    return (share.unsqueeze(1) @ near @ share.unsqueeze(-1)).flatten()


def _points(seeds: Sequence[int], dimension: int, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Training points, test points and the test points turned by ANGLE: [member, point, dimension] each."""
    train, test, turned = [], [], []
    for seed in seeds:
        generator = seeded("sphere", seed, dimension, count)
        train.append(toys.sphere(count, dimension, generator=generator))
        test.append(toys.sphere(TEST, dimension, generator=generator))
        turned.append(toys.rotate(test[-1], ANGLE, generator=generator))
    return torch.stack(train), torch.stack(test), torch.stack(turned)


def _measures(
    seeds: Sequence[int],
    alpha: float | int,
    fit: dict[str, list],
    clean: Tensor,
    turned: Tensor,
    net: one_hidden.OneHidden,
    start: one_hidden.OneHidden,
) -> list[dict]:
    change = (net.weights - start.weights).flatten(1).norm(dim=1) / start.weights.flatten(1).norm(dim=1)
    columns = {
        "member": list(seeds),
        "alpha": [alpha] * len(seeds),
        **fit,
        "test_mse": (clean - 1).square().mean(1).tolist(),
        "S": (clean - turned).square().mean(1).tolist(),
        "concentration": concentration(net).tolist(),
        "weight_change": change.tolist(),
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def configs(scale: str) -> list[Sphere | Neurons]:
    """The units of one scale: the pictures on the circle, then dimension by dimension; seeds count from 1."""
    table = scales.SPHERE[scales.check(scale)]
    common = {name: table[name] for name in ("width", "alphas", "limit")}
    return [Neurons(scale=scale, seed=1, **table["picture"])] + [
        Sphere(scale=scale, seed=1, members=table["seeds"], dimension=dimension, train=train, **common)
        for dimension, sizes in table["train"].items()
        for train in sizes
    ]


def measures(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the measurements, without those of the pictures."""
    if "test_mse" not in rows:
        return rows.iloc[:0]
    return rows[rows.test_mse.notna()].astype({"dimension": int, "train": int})


def ratio(rows: pd.DataFrame, quantity: str, *, dimension: int, sizes: Collection[int], over: float = LAZY) -> float:
    """Feature over lazy: smallest ratio over `sizes` of geometric means over members; NaN if one lacks."""
    part = measures(rows)
    if part.empty:
        return math.nan
    part = part[(part.dimension == dimension) & part.train.isin(sizes)]
    logs = part.assign(log=part[quantity].map(math.log)).pivot_table(index="train", columns="alpha", values="log")
    if len(logs) < len(sizes) or not {over, FEATURE} <= set(logs.columns):
        return math.nan
    return math.exp((logs[FEATURE] - logs[over]).min(skipna=False))
