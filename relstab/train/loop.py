"""The loop that trains every network of the book but the small ensembles."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from relstab.random import global_draws
from relstab.train import checkpoints
from relstab.train.data import TrainingSet, layout
from relstab.train.evaluate import collapsed, error_rate
from relstab.train.recipes import Recipe, learning_rate

CHECKPOINT_SECONDS = 2.0  # at least, between two checkpoints: on few images an epoch is shorter than a write


@dataclass(frozen=True)
class Fit:
    """What a training run leaves beside the trained model.

    `history` has a row per epoch: epoch, loss and error (running means over the epoch, augmented images,
    training mode), lr, validation_error when there is a validation split, seconds. `status` is "ok",
    "diverged" (the loss became NaN or infinite; training stopped there) or "collapsed" (all predictions
    alike). `snapshots` are the rows of the observer, each with the time `epoch` it was taken at.
    """

    history: list[dict] = field(default_factory=list)
    status: str = "ok"
    seconds: float = 0.0
    images_per_second: float = 0.0
    snapshots: list[dict] = field(default_factory=list)


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict]:
    """Optimizer groups with and without weight decay, after `recipe.decay` (A and B differ).

    >>> model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    >>> groups = parameter_groups(model, Recipe(epochs=1, lr=0.1, decay="matrices"))
    >>> [(len(group["params"]), group["weight_decay"]) for group in groups]
    [(1, 0.0005), (3, 0.0)]
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decays = [parameter.ndim != 1 or recipe.decay == "all" for parameter in trainable]
    groups = [
        {"params": [p for p, d in zip(trainable, decays, strict=True) if d], "weight_decay": recipe.weight_decay},
        {"params": [p for p, d in zip(trainable, decays, strict=True) if not d], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(model: nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """SGD or Adam; one fused kernel where the device has it."""
    groups, fused = parameter_groups(model, recipe), device.type in ("cpu", "cuda")
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr, fused=fused)
    return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused)


def loss_and_errors(
    outputs: Float[Tensor, "batch output"], labels: Int64[Tensor, " batch"], loss: str
) -> tuple[Tensor, Tensor]:
    """The mean loss and the number of wrong predictions, both on the device.

    >>> outputs = torch.tensor([[2.0], [0.5], [-3.0]])  # one output: hinge loss, y = +1, -1, -1
    >>> [value.item() for value in loss_and_errors(outputs, torch.tensor([1, 0, 0]), "hinge")]
    [0.5, 1]
    """
    if loss == "cross_entropy":
        return cross_entropy(outputs, labels), (outputs.argmax(1) != labels).sum()
    margins = outputs[:, 0] * (2 * labels - 1)  # hinge: labels 0, 1 stand for y = -1, +1
    return torch.relu(1 - margins).mean(), (margins <= 0).sum()


def snapshot_steps(steps_per_epoch: int, epochs: int, count: int) -> list[int]:
    """`count` log-spaced times in steps, from a tenth of an epoch to the end, and 0: initialisation.

    >>> snapshot_steps(100, 10, 5)
    [0, 10, 32, 100, 316, 1000]
    """
    exponents = torch.linspace(-1, torch.log10(torch.tensor(float(epochs))).item(), count, dtype=torch.float64)
    return sorted(
        {0} | {min(max(round(steps_per_epoch * 10**e), 1), steps_per_epoch * epochs) for e in exponents.tolist()}
    )


def duration(seconds: float | int) -> str:
    """Seconds for people.

    >>> duration(9.2), duration(130), duration(7300)
    ('9 s', '2 min 10 s', '2 h 1 min')
    """
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def fit(model: nn.Module, split: Any, recipe: Recipe, *, normalise: Callable[[Tensor], Tensor], seed: int,
        device: str | torch.device = "cpu", validation: Any = None, checkpoint: Path | str | None = None,
        snapshots: Callable[[nn.Module], list[dict]] | None = None, snapshot_count: int = 12,
        snapshot_epochs: Sequence[float | int] | None = None,
        progress: Callable[[str], None] | None = None, compile: bool = False) -> Fit:  # fmt: skip
    """Train `model` in place on `split` by `recipe`; it ends in evaluation mode.

    Args:
        model: normalised images to [batch, class] (one output for the hinge loss); moved to `device`.
        split: `images` [n, channel, height, width], uint8 or float, and `labels` int64 [n].
        normalise: raw images of the split to what the model takes, batch by batch on the device.
        seed: of the order, the crops, the deformations and the noise; the initial weights are the model's own.
        validation: a split whose error is recorded each epoch; nothing is chosen by it.
        checkpoint: file to continue from when it exists; rewritten atomically at the end of an epoch, of the last one
        and
            of those that are `CHECKPOINT_SECONDS` after the one before.
        snapshots: called at initialisation and at `snapshot_count` log-spaced times; its rows are collected.
        snapshot_epochs: the times, in epochs, in place of log-spaced ones; each is rounded to a step.
        progress: receives a line after every epoch, with the time left.
        compile: torch.compile with CUDA graphs (mode "reduce-overhead"), worth it on a GPU, where a small
            net's step is bound by kernel launches.

    Raises:
        ValueError: for an empty split, for labels below 0, and for a checkpoint of another run.
    """
    if len(split.labels) == 0:
        raise ValueError("split is empty; training needs at least one image")
    if split.labels.min() < 0:
        raise ValueError(f"split has the label {split.labels.min()}; training needs labels of 0 or more")
    device = torch.device(device)
    model.to(device=device, memory_format=layout(recipe))
    if compile:
        torch.compiler.reset()  # the limit of recompilations is shared by all networks of a process
    forward = torch.compile(model, mode="reduce-overhead") if compile else model
    optimizer = make_optimizer(model, recipe, device)
    data = TrainingSet(split, recipe, normalise, device)
    times = snapshot_steps(data.steps, recipe.epochs, snapshot_count)
    if snapshot_epochs is not None:
        times = [round(data.steps * epoch) for epoch in snapshot_epochs]
    observer = Observer(snapshots, model, times)

    identity = {"recipe": asdict(recipe), "seed": seed, "images": data.count}
    checkpoint = Path(checkpoint) if checkpoint else None
    state = checkpoints.load(checkpoint, identity, device) if checkpoint else None
    if state is None:
        state = {"identity": identity, "history": [], "observed": []}
        observer(0, data.steps)
    else:
        try:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            observer.rows = state["observed"]
        except (KeyError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"checkpoint {checkpoint} does not fit this network ({type(error).__name__}); move it away to start"
            ) from error

    history, status, saved = state["history"], "ok", -math.inf
    for epoch in range(len(history), recipe.epochs):
        if stopped(history, recipe):
            break
        start = time.perf_counter()
        with global_draws(seed, "dropout", epoch, device=device):
            row = train_epoch(forward, data, optimizer, epoch, seed=seed, observer=observer)
        if validation is not None:
            error = error_rate(model, validation.images, validation.labels, normalise=normalise)
            row["validation_error"] = error
        history.append({**row, "seconds": time.perf_counter() - start})
        done = len(history) == recipe.epochs or stopped(history, recipe)
        if checkpoint and (done or time.monotonic() >= saved + CHECKPOINT_SECONDS):
            saved = time.monotonic()
            weights = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            checkpoints.save({**state, **weights, "observed": observer.rows}, checkpoint)
        if progress:
            progress(report(history, recipe))

    if not math.isfinite(history[-1]["loss"]):
        status = "diverged"
    elif collapsed(model, split, normalise):
        status = "collapsed"
    model.eval()
    seconds = sum(row["seconds"] for row in history)
    return Fit(history, status, seconds, len(history) * data.count / seconds, observer.rows)


def train_epoch(forward: Callable, data: TrainingSet, optimizer: torch.optim.Optimizer, epoch: int, *,
                seed: int, observer: "Observer") -> dict:  # fmt: skip
    """One pass over the data; the loss and the errors are read from the device once, at its end."""
    recipe, device = data.recipe, data.device
    loss_sum = torch.zeros((), device=device)
    errors = torch.zeros((), dtype=torch.int64, device=device)
    observer.model.train()
    for step, (inputs, labels) in enumerate(data.epoch(epoch, seed), start=1):
        rate = learning_rate(recipe, epoch + (step - 1) / data.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            outputs = forward(inputs)
        loss, wrong = loss_and_errors(outputs.float(), labels, recipe.loss)
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach() * len(labels)
        errors += wrong
        observer(epoch * data.steps + step, data.steps)
    return {"epoch": epoch + 1, "loss": loss_sum.item() / data.seen, "error": errors.item() / data.seen, "lr": rate}


class Observer:
    """Calls `function(model)` at the chosen steps and collects its rows with the time in epochs."""

    def __init__(self, function: Callable | None, model: nn.Module, steps: list[int]):
        self.function, self.model, self.rows = function, model, []
        self.steps = set(steps) if function else set()

    def __call__(self, step: int, steps_per_epoch: int) -> None:
        if step in self.steps:
            self.rows += [{"epoch": step / steps_per_epoch, **row} for row in self.function(self.model)]


def stopped(history: list[dict], recipe: Recipe) -> bool:
    """Whether training ends before its last epoch: the loss is no number, or zero where that is the goal."""
    loss = history[-1]["loss"] if history else 1.0
    return not math.isfinite(loss) or (recipe.stop_at_zero_loss and loss == 0)


def report(history: list[dict], recipe: Recipe) -> str:
    """One line about an epoch: 'epoch 3/18, loss 1.21, error 0.430, 2 min 10 s left'."""
    row, mean = history[-1], sum(row["seconds"] for row in history) / len(history)
    left = duration(mean * (recipe.epochs - row["epoch"]))
    return f"epoch {row['epoch']}/{recipe.epochs}, loss {row['loss']:.3g}, error {row['error']:.3f}, {left} left"
