r"""Train ensembles of the simple CNNs of paper A, App. B.2, with its stop rule; resumable.

Plain stochastic gradient descent on the hinge loss, batch 8, ridge on the filters. A member is done at the
first check, after the clock of weight decay has run, at which its hinge loss is zero on the whole training
set *and* it makes no error on its validation set; done members leave the ensemble, so the others go on
faster. Members that never get there are kept as they are at the limit.

The clock is K/(2 lr ridge) steps: the random part of the filters dies like e^{-t/clock}, and the homogeneous
solution is reached once it is gone, long after the data are fitted (interpolation takes a few hundred steps).

>>> recipe = Recipe(learning_rate=0.01, ridge=0.1, clocks=3.0, limit=4.0)
>>> recipe.clock(layers=12)
6000.0
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relbook.studies.scale_detection import networks as simple_cnn
from relbook.studies.scale_detection.networks import Ensemble
from relstab.random import seeded
from relstab.train import checkpoints


@dataclass(frozen=True)
class Recipe:
    """Settings of one training: times are in clocks of weight decay, `every` in steps between checks.

    `interpolations` is the paper's stop rule: also wait for that many times the step at which the running
    hinge loss over an epoch was zero for the first time, looked at every ten epochs.
    """

    learning_rate: float
    ridge: float
    clocks: float | int
    limit: float | int
    batch: int = 8
    every: int = 100
    interpolations: int = 0

    def clock(self, layers: int) -> float:
        """K/(2 lr ridge), in steps."""
        return layers / (2 * self.learning_rate * self.ridge)


@dataclass(frozen=True)
class Fit:
    """The trained ensemble, members in the order given, and per member: steps, status ("stopped" or "limit"),
    interpolation (step, None if never), train_hinge and validation_error at the end."""

    ensemble: Ensemble
    members: list[dict]


def fit(
    ensemble: Ensemble,
    train: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    checkpoint: Path | None = None,
    save_every: int = 2000,
    progress: Callable[[str], None] | None = None,
) -> Fit:
    """Train every member on its own images [member, image, 1, length] and labels [member, image] of +-1.

    `seeds` order the batches, one per member, so that a member sees the same batches in any company. With
    `checkpoint` the state is kept there and training goes on from it; ValueError if it is another run's.
    """
    images, labels = train
    count, device = images.shape[1], images.device
    if count % recipe.batch:
        raise ValueError(f"batch is {recipe.batch}; it must divide the {count} training images")
    layers = ensemble.architecture.layers
    due, limit = (round(times * recipe.clock(layers)) for times in (recipe.clocks, recipe.limit))
    identity = {"recipe": asdict(recipe), "architecture": asdict(ensemble.architecture), "seeds": list(seeds)}
    state = checkpoints.load(checkpoint, identity, device) if checkpoint else None
    if state is None:
        state = {"step": 0, "active": list(range(len(seeds))), "interpolation": [None] * len(seeds),
                 "parameters": ensemble.parameters, "done": {}, "identity": identity}  # fmt: skip
    active, done, interpolation = state["active"], state["done"], state["interpolation"]
    current = ensemble.with_parameters([p.detach().clone() for p in state["parameters"]])
    step, per_epoch = state["step"], count // recipe.batch
    while active:
        epoch = step // per_epoch
        order = _batches([seeds[m] for m in active], epoch, count, recipe.batch).to(device)
        rows = torch.tensor(active, device=device).unsqueeze(1)
        running = torch.zeros(len(active), device=device)
        for now in range(per_epoch):
            chosen = order[:, now]
            batch = images[rows, chosen], labels[rows, chosen]
            losses = simple_cnn.step(current, *batch, learning_rate=recipe.learning_rate, ridge=recipe.ridge)
            running += losses.sum(1)
        step = (epoch + 1) * per_epoch
        if (epoch + 1) % 10 == 0:
            for member, loss in zip(active, running.tolist(), strict=True):
                if loss == 0 and interpolation[member] is None:
                    interpolation[member] = step
        checked = step // recipe.every > (step - per_epoch) // recipe.every
        if checked and step >= min(due, limit):
            loss, error = _check(current, train, validation, active)
            ready = [
                step >= max(due, _patience(recipe, interpolation[member])) and loss[i] == 0 and error[i] == 0
                for i, member in enumerate(active)
            ]
            for i, member in enumerate(active):
                if ready[i] or step >= limit:
                    done[member] = {
                        "steps": step,
                        "status": "stopped" if ready[i] else "limit",
                        "train_hinge": loss[i],
                        "validation_error": error[i],
                        "parameters": current.take([i]).parameters,
                    }
            left = [i for i, member in enumerate(active) if member not in done]
            if len(left) < len(active):
                active = [active[i] for i in left]
                current = current.take(left)
        saved = step // save_every > (step - per_epoch) // save_every
        if checkpoint and (saved or not active):
            state |= {"step": step, "active": active, "parameters": [p.detach() for p in current.parameters]}
            checkpoints.save(state, checkpoint)
        if progress and saved:
            progress(f"step {step} of {due} to {limit}: {len(done)} of {len(seeds)} members done")
    members = [{key: value for key, value in done[m].items() if key != "parameters"} for m in range(len(seeds))]
    for member, found in zip(members, interpolation, strict=True):
        member["interpolation"] = found
    tensors = [torch.cat(same) for same in zip(*(done[m]["parameters"] for m in range(len(seeds))), strict=True)]
    return Fit(ensemble.with_parameters(tensors), members)


def _batches(seeds: Sequence[int], epoch: int, count: int, batch: int) -> Tensor:
    """Image indices [member, step, image in batch] of one epoch: a permutation per member."""
    orders = [torch.randperm(count, generator=seeded("batches", seed, epoch)) for seed in seeds]
    return torch.stack(orders).unflatten(1, (count // batch, batch))


def _patience(recipe: Recipe, interpolation: int | None) -> float | int:
    """The step before which the paper's rule keeps a member training."""
    if not recipe.interpolations:
        return 0
    return recipe.interpolations * interpolation if interpolation else float("inf")


@torch.no_grad()
def _check(
    ensemble: Ensemble, train: Sequence[Tensor], validation: Sequence[Tensor], active: Any
) -> tuple[list[float], list[float]]:
    """Mean hinge on the training set and error on the validation set, per active member."""
    loss = simple_cnn.hinge(ensemble, train[0][active], train[1][active]).mean(1)
    wrong = simple_cnn.outputs(ensemble, validation[0][active]) * validation[1][active] <= 0
    return loss.tolist(), wrong.double().mean(1).tolist()
