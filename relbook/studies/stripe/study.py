r"""Learning to ignore 29 directions of 30: the stripe model (paper B, Sec. 6, Fig. 7).

One unit trains an ensemble of one-hidden-layer networks on P points each, with the hinge loss on
F = α (f - f₀), and looks at them each time that the fraction of violated margins (y F < 1) falls to one of
`stops`:

.. math:: R_f = \frac{\langle (F(x + \nu) - F(x))^2 \rangle}{\langle (F(x + \eta) - F(x))^2 \rangle}, \qquad
   \Lambda^2 = \frac{\sum_h w_{h,\parallel}^2}{\sum_h |w_{h,\perp}|^2 / (d - 1)} ,

with ν isotropic in the invariant directions, η in all, both of norm `NOISE` √d. The rule that the claims
judge, `RULE`, was declared before the runs: gradient descent on the whole set, α = 1e-4, stop when 30 % of
the margins are still violated. The other stops, α's and optimisers show how much the exponent depends on it.

>>> unit = Stripe(scale="tiny", seed=1, members=2, train=64, width=16, optimiser="gd", alpha=1e-2,
...               learning_rate=0.5, batch=0, stops=(0.5,), limit=500)
>>> [(row["member"], row["stop"]) for row in unit.run()]
[(1, 1.0), (2, 1.0), (1, 0.5), (2, 0.5)]
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from relbook import scales
from relbook.studies import one_hidden, toys
from relstab.random import seeded
from relstab.store import records
from relstab.train import checkpoints

DIMENSION = 30
NOISE = 0.1  # norm of ν and η, in units of √d, the norm of an input
TEST = 4000  # points on which R_f and the test error are measured
RULE = {"optimiser": "gd", "alpha": 1e-4, "stop": 0.3}
OPTIMISERS = {"gd": torch.optim.SGD, "sgd": torch.optim.SGD, "adam": torch.optim.Adam}
SPEED = {"tiny": 5e10, "laptop": 5e10, "gpu": 5e12, "paper": 5e12}  # operations a second, for the estimate of costs


@dataclass(frozen=True)
class Stripe:
    """Seeds seed, ..., seed + members - 1 at one training-set size and one protocol.

    Args:
        optimiser: "gd" (all points in each step), "sgd" (batches of `batch`) or "adam" (all points).
        learning_rate: step along H times the gradient of the loss mean(relu(1 - y F))/α.
        stops: falling fractions of violated margins.
        limit: steps.
    """

    study: ClassVar[str] = "stripe"
    spread: ClassVar[float] = 0.25  # of most rows over kinds of processors (`relbook.audit`)
    version: ClassVar[int] = 1
    scale: str
    seed: int
    members: int
    train: int
    width: int
    optimiser: str
    alpha: float
    learning_rate: float
    batch: int
    stops: tuple[float, ...]
    limit: int

    @property
    def cost_minutes(self) -> float:
        """Rough cost at the limit, from the operations of the steps."""
        operations = 10 * self.members * self.train * self.width * DIMENSION * self.limit
        return operations / SPEED[self.scale] / 60

    def data_digest(self) -> str:
        """The data are random numbers: nothing is read."""
        return ""

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Rows by member and stop (1.0: before training): steps, violated, R, Lambda, test_error.

        A member that never reaches a stop has no row for it. With a `workspace` an interrupted run goes on from its
        last checkpoint, to the same rows.
        """
        device = torch.device(device)
        seeds = range(self.seed, self.seed + self.members)
        inputs, labels = (part.to(device) for part in _points(seeds, self.train))
        inputs = one_hidden.lift(inputs)
        probes = _Probes.draw(seeds, device)
        start = one_hidden.initialise(DIMENSION + 1, self.width, seeds).to(device)
        base = start(inputs)
        rows = [
            {"member": s, "stop": 1.0, "steps": 0, "violated": 1.0, **row}
            for s, row in zip(seeds, probes.measure(start, None), strict=True)
        ]
        net = start.copy()
        parameters = [net.weights, net.readout]
        optimiser = OPTIMISERS[self.optimiser](parameters, lr=self.learning_rate)
        order = seeded("stripe batches", self.seed)
        due = [list(self.stops) for _ in seeds]
        step = 0
        checkpoint = checkpoints.Regularly(workspace, records.fields(self), device=device)
        if (state := checkpoint.state) is not None:
            net.weights.copy_(state["weights"])
            net.readout.copy_(state["readout"])
            optimiser.load_state_dict(state["optimiser"])
            order.set_state(state["order"].cpu())
            rows, due, step = state["rows"], state["due"], state["step"]
        while True:
            checkpoint.save(partial(_state, net, optimiser, order, rows, due, step))
            hidden = net.hidden(inputs)
            active = self.alpha * labels * (net.read(hidden) - base) < 1
            violated = active.double().mean(1).tolist()
            if any(left and now <= left[0] for left, now in zip(due, violated, strict=True)):
                for s, left, now, row in zip(seeds, due, violated, probes.measure(net, start), strict=True):
                    while left and now <= left[0]:
                        rows.append({"member": s, "stop": left.pop(0), "steps": step, "violated": now, **row})
            if not any(due) or step >= self.limit:
                return sorted(rows, key=lambda row: (-row["stop"], row["member"]))
            if self.batch == 0:
                _descend(optimiser, net, inputs, hidden, -labels * active / self.train)
                step += 1
                continue
            for part in torch.randperm(self.train, generator=order).to(device).split(self.batch):
                x, y, f0 = inputs[:, part], labels[:, part], base[:, part]
                hidden = net.hidden(x)
                active = self.alpha * y * (net.read(hidden) - f0) < 1
                _descend(optimiser, net, x, hidden, -y * active / len(part))
                step += 1


def _state(
    net: one_hidden.OneHidden, optimiser: torch.optim.Optimizer, order: torch.Generator, rows: list, due: Any, step: int
) -> dict[str, Any]:
    state = {"weights": net.weights, "readout": net.readout, "optimiser": optimiser.state_dict()}
    return state | {"order": order.get_state(), "rows": rows, "due": due, "step": step}


def _descend(
    optimiser: torch.optim.Optimizer, net: one_hidden.OneHidden, x: Tensor, hidden: Tensor, slope: Tensor
) -> None:
    pull = one_hidden.gradient(net, x, hidden, slope)
    net.weights.grad, net.readout.grad = pull.weights, pull.readout
    optimiser.step()


def _points(seeds: Sequence[int], count: int, part: str = "train") -> tuple[Tensor, ...]:
    """Inputs [member, point, d] and labels, each member its own; different sizes are independent draws."""
    draws = [toys.stripe(count, DIMENSION, generator=seeded("stripe", part, seed, count)) for seed in seeds]
    return tuple(torch.stack(same) for same in zip(*draws, strict=True))


@dataclass(frozen=True)
class _Probes:
    """Test points x, x + ν and x + η, ready for the network, and the labels."""

    clean: torch.Tensor
    moved: torch.Tensor
    noisy: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def draw(cls, seeds: Sequence[int], device: str | torch.device) -> "_Probes":
        x, labels = _points(seeds, TEST, "test")
        generator = seeded("stripe noise", *seeds)
        radius = NOISE * math.sqrt(DIMENSION)
        invariant = toys.on_sphere(x[..., 1:], radius, generator=generator)
        moved = torch.cat([x[..., :1], x[..., 1:] + invariant], -1)
        noisy = x + toys.on_sphere(x, radius, generator=generator)
        lifted = (one_hidden.lift(part).to(device) for part in (x, moved, noisy))
        return cls(*lifted, labels.to(device))

    def measure(self, net: one_hidden.OneHidden, start: one_hidden.OneHidden | None) -> list[dict]:
        """R, Lambda and test_error of each member's predictor f - f₀ (start None: of f)."""
        clean, moved, noisy = (
            net(x) - (0 if start is None else start(x)) for x in (self.clean, self.moved, self.noisy)
        )
        R = (moved - clean).square().mean(1) / (noisy - clean).square().mean(1)
        informative, rest = net.weights[..., 0], net.weights[..., 1:-1]
        Lambda = (informative.square().sum(1) / (rest.square().sum((1, 2)) / (DIMENSION - 1))).sqrt()
        wrong = (clean * self.labels <= 0).double().mean(1)
        return [
            {"R": r, "Lambda": a, "test_error": e}
            for r, a, e in zip(R.tolist(), Lambda.tolist(), wrong.tolist(), strict=True)
        ]


def configs(scale: str) -> list[Stripe]:
    """The units of one scale, `chunk` seeds each; seeds count from 1."""
    units = []
    for settings in scales.STRIPE[scales.check(scale)]:
        settings = dict(settings)
        seeds, chunk, sizes = (settings.pop(name) for name in ("seeds", "chunk", "train"))
        for train in sizes:
            for first in range(1, seeds + 1, chunk):
                members = min(chunk, seeds + 1 - first)
                units.append(Stripe(scale=scale, seed=first, members=members, train=train, **settings))
    return units


def chosen(
    rows: pd.DataFrame, *, stop: float = RULE["stop"], optimiser: str = RULE["optimiser"], alpha: float = RULE["alpha"]
) -> pd.DataFrame:
    """The rows of one protocol, by default those of the declared rule."""
    return rows[(rows.optimiser == optimiser) & (rows.alpha == alpha) & (rows.stop == stop)]


def complete(rows: pd.DataFrame, quantity: str = "R", **protocol: Any) -> pd.DataFrame:
    """`quantity` by size (rows) and member (columns), for the sizes at which every member got to the stop."""
    members = chosen(rows, **protocol | {"stop": 1.0}).member.unique()
    part = chosen(rows, **protocol)
    return part.pivot_table(index="train", columns="member", values=quantity).reindex(columns=members).dropna()


def slope(rows: pd.DataFrame, quantity: str = "R", **protocol: Any) -> tuple[float, float]:
    """Exponent of `quantity` in P and its standard error: the mean over members of a line through the logs.

    protocol: as `chosen`. Sizes as `complete`; NaN with fewer than two of them.
    """
    table = complete(rows, quantity, **protocol)
    if len(table) < 2:
        return math.nan, math.nan
    each = np.polyfit(np.log(table.index.to_numpy(float)), np.log(table.to_numpy()), 1)[0]
    error = each.std(ddof=1) / math.sqrt(len(each)) if len(each) > 1 else math.nan
    return float(each.mean()), float(error)


def exponents(rows: pd.DataFrame, quantity: str = "R") -> pd.DataFrame:
    """One line per optimiser, alpha and stop (trained only) with an exponent: its value, error and sizes."""
    lines = []
    for optimiser, alpha, stop in rows.loc[rows.stop < 1, ["optimiser", "alpha", "stop"]].drop_duplicates().to_numpy():
        protocol = {"optimiser": optimiser, "alpha": alpha, "stop": stop}
        value, error = slope(rows, quantity, **protocol)
        if math.isfinite(value):
            sizes = complete(rows, quantity, **protocol).index
            lines.append(
                {**protocol, "exponent": value, "error": error, "smallest": sizes.min(), "largest": sizes.max()}
            )
    return pd.DataFrame(lines)


def isotropic_relation(Lambda: Any) -> Any:
    """R_f if all neurons have the alignment Λ, to first order in the noise: d / (Λ² + d - 1).

    ν of norm r has variance r²/(d - 1) per invariant direction, η r²/d in every direction; a function of w.x
    changes by the corresponding projections of w.
    """
    return DIMENSION / (Lambda**2 + DIMENSION - 1)
