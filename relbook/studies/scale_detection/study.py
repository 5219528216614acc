"""Trained one-dimensional networks on the scale-detection tasks (paper A, Sec. 4.3, App. B.2, Fig. 9).

One unit trains an ensemble of seeds and measures D, G, R of every layer before and after, over all
admissible inputs. A member that follows the exact homogeneous curve is "homogeneous", one whose output no
longer depends on the input is "collapsed", the rest are "other": `classify` says which, and none is
dropped.

>>> unit = configs("tiny")[0]
>>> unit.task, unit.length, unit.width, unit.members, unit.recipe.clock(unit.layers)
(1, 32, 32, 2, 6000.0)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from relbook import scales
from relbook.studies.scale_detection import networks as simple_cnn
from relbook.studies.scale_detection import training as ensembles
from relbook.studies.scale_detection.sensitivity import sensitivities
from relbook.studies.scale_detection.tasks import balanced_split, line_task
from relstab.theory import homogeneous_sensitivities

MOVES = {"free": "periodic", "constrained": "block"}  # of the theory, and what they are for pixels
# The paper's networks: sizes that no scale changes.
PAPER = {
    1: {"length": 32, "xi": 11, "gap": 4, "layers": 12, "filter_size": 3, "stride": 1, "train": 48},
    2: {"length": 128, "xi": 32, "gap": 0, "layers": 7, "filter_size": 2, "stride": 2, "train": 1024},
}
WINDOW = {1: (2, 5), 2: (1, 3)}  # layers on which a member is compared with the exact curve
SLOPES = {1: (2, 6), 2: (1, 4)}  # layers of the power-law fits
TOLERANCE = 0.25  # relative, of D and of G, at every layer of the window
COLLAPSED = 0.01  # standard deviation of an output that labels of +-1 ask to be about one
# Operations a second, for the estimate of costs.
SPEED = {"tiny": 5e10, "laptop": 5e10, "gpu": 2e13, "paper": 2e13}


@dataclass(frozen=True)
class LineEnsemble:
    """Seeds seed, ..., seed + members - 1 of one network on one task."""

    study: ClassVar[str] = "scale_detection"
    spread: ClassVar[float] = 0.25  # of most rows over kinds of processors (`relbook.audit`)
    version: ClassVar[int] = 1
    scale: str
    task: int
    length: int
    xi: int
    gap: int
    layers: int
    width: int
    filter_size: int
    stride: int
    train: int
    validation: int
    learning_rate: float
    ridge: float
    clocks: float
    limit: float
    interpolations: int
    draws: int
    seed: int
    members: int

    @property
    def recipe(self) -> ensembles.Recipe:
        """How the members are trained."""
        return ensembles.Recipe(
            self.learning_rate, self.ridge, self.clocks, self.limit, interpolations=self.interpolations
        )

    @property
    def cost_minutes(self) -> float:
        """Training time up to the clock (by the paper's stop rule, the limit), from its operations."""
        sites = sum(self.length // self.stride**k for k in range(1, self.layers))
        operations = 6 * self.members * self.recipe.batch * self.width**2 * self.filter_size * sites
        clocks = self.limit if self.interpolations else self.clocks
        return clocks * self.recipe.clock(self.layers) * operations / SPEED[self.scale] / 60

    def data_digest(self) -> str:
        """The data are all pairs of pixels: nothing is read."""
        return ""

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Rows by member, stage ("init", "trained"), moves and layer k, as `probes.ensemble` makes them.

        With them, per member, what `ensembles.Fit` tells (steps, status, interpolation, train_hinge,
        validation_error; before training steps is 0, status "init", the rest None), test_error on the
        balanced rest of the pairs, and output_std, the standard deviation of f(x) over all pairs.
        """
        device = torch.device(device)
        seeds = range(self.seed, self.seed + self.members)
        data = line_task(self.task, self.length, self.xi, self.gap)
        splits = [balanced_split(data, self.train, self.validation, seed=seed) for seed in seeds]
        images = data.images()
        train, validation, test = (
            tuple(torch.stack([values[i] for i in part]).to(device) for values in (images, data.labels))
            for part in zip(*splits, strict=True)
        )
        architecture = simple_cnn.Architecture(self.layers, self.width, self.filter_size, self.stride)
        initial = simple_cnn.initialise(architecture, seeds).to(device)
        fit = ensembles.fit(
            initial, train, validation, self.recipe, seeds=seeds, progress=progress,
            checkpoint=None if workspace is None else workspace / "ensemble.pt",
        )  # fmt: skip
        untrained = {"steps": 0, "status": "init", "interpolation": None, "train_hinge": None, "validation_error": None}
        rows = []
        for stage, ensemble, members in (
            ("init", initial, [untrained] * self.members),
            ("trained", fit.ensemble, fit.members),
        ):
            spread, errors = _outputs(ensemble, images.to(device)), _errors(ensemble, *test)
            for moves in MOVES if self.task == 2 else ("free",):
                for row in sensitivities(ensemble, data, boundary=MOVES[moves], draws=self.draws, seed=self.seed):
                    m = row.pop("member")
                    rows.append({"member": seeds[m], "stage": stage, "moves": moves, **row, **members[m],
                                 "test_error": errors[m], "output_std": spread[m]})  # fmt: skip
        return rows


@torch.no_grad()
def _errors(ensemble: simple_cnn.Ensemble, images: Tensor, labels: Tensor) -> list[float]:
    return (simple_cnn.outputs(ensemble, images) * labels <= 0).double().mean(1).tolist()


@torch.no_grad()
def _outputs(ensemble: simple_cnn.Ensemble, images: Tensor) -> list[float]:
    return torch.cat([simple_cnn.outputs(ensemble, part) for part in images.split(1024)], 1).std(1).tolist()


def configs(scale: str) -> list[LineEnsemble]:
    """The units of one scale, `chunk` seeds each; seeds count from 1."""
    units = []
    for settings in scales.SCALE_DETECTION[scales.check(scale)]:
        settings = dict(settings)
        seeds, chunk = settings.pop("seeds"), settings.pop("chunk")
        for first in range(1, seeds + 1, chunk):
            members = min(chunk, seeds + 1 - first)
            units.append(LineEnsemble(scale=scale, seed=first, members=members, **PAPER[settings["task"]], **settings))
    return units


def exact(rows: pd.DataFrame, *, moves: str | None = None) -> pd.DataFrame:
    """The homogeneous theory for the network and task of these rows (which must all be of one task)."""
    unit = rows.iloc[0]
    return homogeneous_sensitivities(
        int(unit.layers), int(unit.filter_size), int(unit.stride), int(unit.length), int(unit.task),
        float(unit.xi), float(unit.gap), moves=moves or reference_moves(int(unit.task)),
    )  # fmt: skip


def reference_moves(task: int) -> str:
    """The moves that define the curve of a task: the authors', which never change the class in task 2."""
    return "free" if task == 1 else "constrained"


def deviations(rows: pd.DataFrame) -> pd.DataFrame:
    """Trained rows on the reference moves, with D_exact, G_exact and the ratios D_ratio, G_ratio."""
    parts = []
    for task, part in rows[rows.stage == "trained"].groupby("task"):
        part = part[part.moves == reference_moves(int(task))]
        theory = exact(part)[["k", "D", "G"]].rename(columns={"D": "D_exact", "G": "G_exact"})
        part = part.merge(theory, on="k")
        parts.append(part.assign(D_ratio=part.D / part.D_exact, G_ratio=part.G / part.G_exact))
    return pd.concat(parts, ignore_index=True)


def classify(rows: pd.DataFrame) -> pd.DataFrame:
    """One line per task, width and member: kind, test_error, steps, status, worst |ratio - 1| of D and G.

    kind is "collapsed" if the output hardly varies, "homogeneous" if D and G are within TOLERANCE of the
    exact curve at every layer of the WINDOW, else "other".
    """
    table = []
    for (task, _, _), part in deviations(rows).groupby(["task", "width", "member"]):
        first, last = WINDOW[int(task)]
        window = part[part.k.between(first, last)]
        worst_d, worst_g = ((window[q] - 1).abs().max(skipna=False) for q in ("D_ratio", "G_ratio"))
        one = part.iloc[0]
        follows = worst_d <= TOLERANCE and worst_g <= TOLERANCE
        kind = "collapsed" if one.output_std < COLLAPSED else "homogeneous" if follows else "other"
        kept = one[["task", "width", "member", "test_error", "steps", "status"]].to_dict()
        table.append({**kept, "kind": kind, "worst_D": worst_d, "worst_G": worst_g})
    return pd.DataFrame(table)


def exponents(rows: pd.DataFrame) -> pd.DataFrame:
    """Slopes of log D, G, R against log A_k over the layers SLOPES, by task, width, moves and member."""
    table = []
    trained = rows[rows.stage == "trained"]
    for (task, width, moves, member), part in trained.groupby(["task", "width", "moves", "member"]):
        part = part[part.k.between(*SLOPES[int(task)])]
        slopes = {q: _slope(part.A, part[q]) for q in ("D", "G", "R")}
        table.append({"task": task, "width": width, "moves": moves, "member": member, **slopes})
    return pd.DataFrame(table)


def _slope(x: np.ndarray | pd.Series, y: np.ndarray | pd.Series) -> float:
    return np.polyfit(np.log(x), np.log(y), 1)[0] if (y > 0).all() else float("nan")


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """What the claims about A Fig. 9 are judged on, one line per task and width; no seed is left out.

    members and how many are homogeneous, other, collapsed, and without_error (test error at most 1 %);
    D_low, D_high, G_low, G_high: extremes over the WINDOW of the median over seeds of measured / exact;
    D_slope, G_slope, R_slope: medians over seeds of `exponents`, on the reference moves;
    mean_low, mean_high: extremes over layers 1 to 5 (4 in task 2) of the median of D(mean channel) / D;
    trained_over_init: median of D after over D before training, at layer 6 (4 in task 2).
    """
    table = []
    ratios, kinds, slopes = deviations(rows), classify(rows), exponents(rows)
    for (task, width), part in ratios.groupby(["task", "width"]):
        kind, slope = (f[(f.task == task) & (f.width == width)] for f in (kinds, slopes))
        slope = slope[slope.moves == reference_moves(int(task))]
        window = part[part.k.between(*WINDOW[int(task)])].groupby("k")[["D_ratio", "G_ratio"]].median()
        shallow = part[part.k <= (5 if task == 1 else 4)]
        mean = (shallow.D_mean_channel / shallow.D).groupby(shallow.k).median()
        line = {"task": task, "width": width, "members": len(kind)}
        line |= {name: int((kind.kind == name).sum()) for name in ("homogeneous", "other", "collapsed")}
        line |= {"without_error": int((kind.test_error <= 0.01).sum())}
        for q in ("D", "G"):
            line |= {f"{q}_low": window[f"{q}_ratio"].min(), f"{q}_high": window[f"{q}_ratio"].max()}
        line |= {f"{q}_slope": slope[q].median() for q in ("D", "G", "R")}
        line |= {"mean_low": mean.min(), "mean_high": mean.max()}
        before = rows[(rows.task == task) & (rows.width == width) & (rows.stage == "init")]
        before = before[before.moves == reference_moves(int(task))]
        layer = 6 if task == 1 else 4
        both = [f[f.k == layer].set_index("member").D for f in (part, before)]
        line |= {"trained_over_init": (both[0] / both[1]).median()}
        table.append(line)
    return pd.DataFrame(table)


def both_tasks(rows: pd.DataFrame) -> bool:
    """Whether these rows are about task 1 and task 2."""
    return rows.empty or set(rows.task) == {1, 2}


def widest(rows: pd.DataFrame, task: int) -> pd.DataFrame:
    """The rows of the widest networks of a task, on its reference moves."""
    part = rows[(rows.task == task) & (rows.moves == reference_moves(task))]
    return part[part.width == part.width.max()]


def most_seeds(rows: pd.DataFrame, task: int) -> pd.DataFrame:
    """All rows of a task at the width with the most members; of equals, the widest."""
    part = rows[rows.task == task]
    members = part.groupby("width").member.nunique()
    return part[part.width == members[members == members.max()].index.max()]
