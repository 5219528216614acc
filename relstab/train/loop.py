"""The loop that trains every network of the book but the small ensembles."""

import contextlib
import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from relstab.train import checkpoints
from relstab.train.augment import crop_and_flip, deformations, deformed, draw, windows
from relstab.train.recipes import Recipe, learning_rate

_DEFORMATION = ("displacement", "cut")
CHECKPOINT_SECONDS = 2.0  # at least, between two checkpoints: on few images an epoch is shorter than a write
COLLAPSE_SAMPLE = 1000  # about so many training images are compared at the end of a run


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


def seeded(*parts, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator whose seed is a hash of `parts`: no state to keep, no accidental reuse.

    >>> bool(torch.rand(1, generator=seeded(0, "a")) == torch.rand(1, generator=seeded(0, "a")))
    True
    """
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:7], "big"))


@contextlib.contextmanager
def global_draws(*parts, device: str | torch.device = "cpu") -> Iterator[None]:
    """Let what a network draws from torch's global generators (dropout) follow from `parts`, then restore their state.

    >>> before = torch.get_rng_state()
    >>> with global_draws(0, "dropout", 3):
    ...     first = torch.nn.functional.dropout(torch.ones(5))
    >>> with global_draws(0, "dropout", 3):
    ...     bool((torch.nn.functional.dropout(torch.ones(5)) == first).all())
    True
    >>> bool((torch.get_rng_state() == before).all())
    True
    """
    device, seed = torch.device(device), seeded(*parts).initial_seed()
    on_cuda = device.type == "cuda"
    index = (torch.cuda.current_device() if device.index is None else device.index) if on_cuda else None
    with torch.random.fork_rng([index] if on_cuda else []):
        torch.default_generator.manual_seed(seed)
        if on_cuda:
            torch.cuda.default_generators[index].manual_seed(seed)
        yield


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
        {
            "params": [p for p, d in zip(trainable, decays, strict=True) if d],
            "weight_decay": recipe.weight_decay,
        },
        {"params": [p for p, d in zip(trainable, decays, strict=True) if not d], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def make_optimizer(model: nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """SGD or Adam; one fused kernel where the device has it."""
    groups, fused = parameter_groups(model, recipe), device.type in ("cpu", "cuda")
    if recipe.optimizer == "adam":
        return torch.optim.Adam(groups, lr=recipe.lr, fused=fused)
    return torch.optim.SGD(
        groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, fused=fused
    )


def loss_and_errors(outputs: Float[Tensor, "batch output"], labels: Int64[Tensor, " batch"],
                    loss: str) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The mean loss and the number of wrong predictions, both on the device.

    >>> outputs = torch.tensor([[2.0], [0.5], [-3.0]])  # one output: hinge loss, y = +1, -1, -1
    >>> [value.item() for value in loss_and_errors(outputs, torch.tensor([1, 0, 0]), "hinge")]
    [0.5, 1]
    """
    if loss == "cross_entropy":
        return cross_entropy(outputs, labels), (outputs.argmax(1) != labels).sum()
    margins = outputs[:, 0] * (2 * labels - 1)  # hinge: labels 0, 1 stand for y = -1, +1
    return torch.relu(1 - margins).mean(), (margins <= 0).sum()


@torch.no_grad()
def predictions(model: nn.Module, images: Shaped[Tensor, "image channel height width"], *,
                normalise: Callable | None = None, batch_size: int = 500
                ) -> Int64[Tensor, " image"]:  # fmt: skip
    """The predicted classes in evaluation mode; a single output f is binary, class 1 where f > 0.

    >>> model = nn.Sequential(nn.Flatten(), nn.Identity())
    >>> predictions(model.append(nn.Linear(4, 1, bias=False).requires_grad_(False)), torch.zeros(3, 1, 2, 2)).tolist()
    [0, 0, 0]
    """
    device, training = next(model.parameters()).device, model.training
    model.eval()
    chunks = []
    for chunk in images.split(batch_size):
        chunk = chunk.to(device)
        outputs = model(normalise(chunk) if normalise else chunk)
        chunks.append(outputs.argmax(1) if outputs.shape[1] > 1 else (outputs[:, 0] > 0).long())
    model.train(training)
    return torch.cat(chunks).cpu()


def error_rate(model: nn.Module, images: Shaped[Tensor, "image channel height width"],
               labels: Int64[Tensor, " image"], *, normalise: Callable | None = None,
               batch_size: int = 500) -> float:  # fmt: skip
    """The fraction of wrong predictions, float32, evaluation mode, in batches of `batch_size`.

    `images` are what the model takes, or, with `normalise`, what that takes. ValueError without images.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    >>> images = torch.zeros(6, 1, 2, 2)
    >>> error_rate(model, images, predictions(model, images))
    0.0
    """
    if len(images) == 0:
        raise ValueError("images is empty; an error rate needs at least one image")
    predicted = predictions(model, images, normalise=normalise, batch_size=batch_size)
    return (predicted != labels.cpu()).double().mean().item()


def snapshot_steps(steps_per_epoch: int, epochs: int, count: int) -> list[int]:
    """`count` log-spaced times in steps, from a tenth of an epoch to the end, and 0: initialisation.

    >>> snapshot_steps(100, 10, 5)
    [0, 10, 32, 100, 316, 1000]
    """
    exponents = torch.linspace(
        -1, torch.log10(torch.tensor(float(epochs))).item(), count, dtype=torch.float64
    )
    return sorted(
        {0}
        | {min(max(round(steps_per_epoch * 10**e), 1), steps_per_epoch * epochs) for e in exponents.tolist()}
    )


def batches(count: int, batch_size: int, generator: torch.Generator,
            device: torch.device | str = "cpu") -> list[Int64[Tensor, " batch"]]:  # fmt: skip
    """A random partition of range(count); a last batch of one is left out (batch norm cannot take it).

    >>> [len(part) for part in batches(10, 4, torch.Generator().manual_seed(0))]
    [4, 4, 2]
    >>> [len(part) for part in batches(9, 4, torch.Generator().manual_seed(0))]
    [4, 4]
    """
    parts = list(torch.randperm(count, generator=generator).to(device).split(batch_size))
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) == 1 else parts


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


def fit(model: nn.Module, split, recipe: Recipe, *, normalise: Callable[[Tensor], Tensor], seed: int,
        device: str | torch.device = "cpu", validation=None, checkpoint: Path | str | None = None,
        snapshots: Callable[[nn.Module], list[dict]] | None = None, snapshot_count: int = 12,
        progress: Callable[[str], None] | None = None, compile: bool = False) -> Fit:  # fmt: skip
    """Train `model` in place on `split` by `recipe`; it ends in evaluation mode.

    Args:
        model: normalised images to [batch, class] (one output for the hinge loss); moved to `device`.
        split: `images` [n, channel, height, width], uint8 or float, and `labels` int64 [n].
        normalise: raw images of the split to what the model takes, batch by batch on the device.
        seed: of the order, the crops, the deformations and the noise; the initial weights are the model's own.
        validation: a split whose error is recorded each epoch; needed by the selection "best_validation".
        checkpoint: file to continue from when it exists; rewritten atomically at the end of an epoch, of the last one and
            of those that are `CHECKPOINT_SECONDS` after the one before.
        snapshots: called at initialisation and at `snapshot_count` log-spaced times; its rows are collected.
        progress: receives a line after every epoch, with the time left.
        compile: torch.compile with CUDA graphs (mode "reduce-overhead"), worth it on a GPU, where a small
            net's step is bound by kernel launches.

    Raises ValueError for an empty split, for selection "best_validation" without `validation`, and for a
    checkpoint of another run.
    """
    if len(split.labels) == 0:
        raise ValueError("split is empty; training needs at least one image")
    if recipe.selection == "best_validation" and validation is None:
        raise ValueError("selection is 'best_validation' but validation is None; give a validation split")
    device = torch.device(device)
    model.to(device=device, memory_format=layout(recipe))
    if compile:
        torch.compiler.reset()  # the limit of recompilations is shared by all networks of a process
    forward = torch.compile(model, mode="reduce-overhead") if compile else model
    optimizer = make_optimizer(model, recipe, device)
    data = TrainingSet(split, recipe, normalise, device)
    observer = Observer(snapshots, model, snapshot_steps(data.steps, recipe.epochs, snapshot_count))

    identity = {"recipe": effective(recipe), "seed": seed, "images": data.count}
    checkpoint = Path(checkpoint) if checkpoint else None
    state = checkpoints.load(checkpoint, identity, device) if checkpoint else None
    if state is None:
        state = {"identity": identity, "history": [], "best": None, "observed": []}
        observer(0, data.steps)
    else:
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        observer.rows = state["observed"]

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
            if recipe.selection == "best_validation" and (
                state["best"] is None or error < state["best"]["error"]
            ):
                state["best"] = {"error": error, "model": copy.deepcopy(model.state_dict())}
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
    elif state["best"] is not None:
        model.load_state_dict(state["best"]["model"])
    if status == "ok" and collapsed(model, split, normalise):
        status = "collapsed"
    model.eval()
    seconds = sum(row["seconds"] for row in history)
    return Fit(history, status, seconds, len(history) * data.count / seconds, observer.rows)


def train_epoch(forward: Callable, data: "TrainingSet", optimizer: torch.optim.Optimizer, epoch: int, *,
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
    return {
        "epoch": epoch + 1,
        "loss": loss_sum.item() / data.seen,
        "error": errors.item() / data.seen,
        "lr": rate,
    }


class TrainingSet:
    """The training images on the device, and an iterator over the augmented batches of an epoch."""

    def __init__(self, split, recipe: Recipe, normalise: Callable, device: torch.device):
        self.recipe, self.normalise, self.device, self.count = recipe, normalise, device, len(split.labels)
        self.images, self.labels = split.images.to(device), split.labels.to(device)
        self.augmented = bool(recipe.crop or recipe.flip)
        self.views = windows(self.images, recipe.crop) if self.augmented else None
        lengths = [len(batch) for batch in batches(self.count, recipe.batch_size, seeded(0))]
        self.steps, self.seen = len(lengths), sum(lengths)

    def epoch(self, epoch: int, seed: int):
        """Batches (inputs, labels) in an order, with crops, flips, deformations and noise, given by (seed, epoch)."""
        recipe, generator = self.recipe, seeded(seed, "epoch", epoch)
        order = batches(self.count, recipe.batch_size, generator, self.device)
        draws = draw(self.count, padding=recipe.crop, flip=recipe.flip, generator=generator).to(self.device)
        modes = self.modes(epoch, seed)
        noise = seeded(seed, "noise", epoch, device=self.device)
        for indices in order:
            raw = crop_and_flip(self.views, indices, draws) if self.augmented else self.images[indices]
            inputs = self.normalise(raw)
            if modes is not None:  # normalising commutes with a warp, rounding to uint8 would not
                inputs = deformed(inputs, modes[indices])
            if recipe.noise:
                inputs = inputs + gaussian(inputs, recipe.noise, noise)
            yield inputs.contiguous(memory_format=layout(recipe)), self.labels[indices]

    def modes(self, epoch: int, seed: int) -> Tensor | None:
        """The deformations of all images in an epoch, on the device; None where the recipe has none."""
        recipe = self.recipe
        if not recipe.displacement:
            return None
        size, generator = self.images.shape[-2:], seeded(seed, "diffeo", epoch)
        drawn = deformations(self.count, recipe.displacement, recipe.cut, size, generator=generator)
        return drawn.to(self.device)


def gaussian(like: Float[Tensor, "image channel height width"], norm: float,
             generator: torch.Generator) -> Float[Tensor, "image channel height width"]:  # fmt: skip
    """White noise N(0, s²/d) of total norm about s = `norm` for each image of d components (A Fig. 10).

    >>> noise = gaussian(torch.zeros(2, 3, 32, 32), 5.0, seeded(0))
    >>> noise.flatten(1).norm(dim=1).round().tolist()
    [5.0, 5.0]
    """
    white = torch.randn(like.shape, generator=generator, device=generator.device, dtype=like.dtype)
    return white.to(like.device) * (norm / like[0].numel() ** 0.5)


class Observer:
    """Calls `function(model)` at the chosen steps and collects its rows with the time in epochs."""

    def __init__(self, function: Callable | None, model: nn.Module, steps: list[int]):
        self.function, self.model, self.rows = function, model, []
        self.steps = set(steps) if function else set()

    def __call__(self, step: int, steps_per_epoch: int) -> None:
        if step in self.steps:
            self.rows += [{"epoch": step / steps_per_epoch, **row} for row in self.function(self.model)]


def effective(recipe: Recipe) -> dict:
    """The recipe as data, without the deformations where there are none: what a checkpoint is known by.

    So a run that was stopped before recipes had deformations goes on with one that has.

    >>> "displacement" in effective(Recipe(epochs=1, lr=0.1))
    False
    """
    fields = asdict(recipe)
    return (
        fields if recipe.displacement else {name: fields[name] for name in fields if name not in _DEFORMATION}
    )


def layout(recipe: Recipe) -> torch.memory_format:
    """The memory format of images and weights; channels_last is 1.3 to 1.6 times faster for 2-D nets."""
    return torch.channels_last if recipe.channels_last else torch.contiguous_format


def stopped(history: list[dict], recipe: Recipe) -> bool:
    """Whether training ends before its last epoch: the loss is no number, or zero where that is the goal."""
    loss = history[-1]["loss"] if history else 1.0
    return not math.isfinite(loss) or (recipe.stop_at_zero_loss and loss == 0)


def report(history: list[dict], recipe: Recipe) -> str:
    """One line about an epoch: 'epoch 3/18, loss 1.21, error 0.430, 2 min 10 s left'."""
    row, mean = history[-1], sum(row["seconds"] for row in history) / len(history)
    left = duration(mean * (recipe.epochs - row["epoch"]))
    return (
        f"epoch {row['epoch']}/{recipe.epochs}, loss {row['loss']:.3g}, error {row['error']:.3f}, {left} left"
    )


def collapsed(model: nn.Module, split, normalise: Callable) -> bool:
    """Whether images of several classes, spread over the training set, all get the same prediction."""
    stride = -(-len(split.labels) // COLLAPSE_SAMPLE)
    images, labels = split.images[::stride], split.labels[::stride]
    predicted = predictions(model, images, normalise=normalise)
    return len(labels.unique()) > 1 and len(predicted.unique()) == 1
