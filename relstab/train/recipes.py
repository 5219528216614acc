r"""Training recipes as data (paper A App. B.1, paper B App. E.1, and what the authors' code settles).

A recipe says everything the training loop needs beside the network and the data. Papers and code differ in
places; the switch ``reading`` chooses: ``"paper"`` anneals the step size to zero over the whole run and picks
the last epoch, ``"code"`` anneals over 80 % of it, after which the cosine climbs again:

$$\mathrm{lr}(t) = \frac{\mathrm{lr}_0}{2} \left(1 + \cos\frac{\pi t}{h T}\right), \qquad
  h = 1 \text{ (paper) or } 0.8 \text{ (code)},$$

with t whole epochs of T.

>>> from relstab.train.recipes import learning_rate, paper
>>> recipe = paper("vgg11_bn", reading="code")
>>> [round(learning_rate(recipe, epoch), 4) for epoch in (0, 100, 200, 249)]
[0.1, 0.05, 0.0, 0.0141]
"""

import math
from dataclasses import dataclass

from relstab import models
from relstab.diffeo import kept_modes

CHOICES = {
    "optimizer": ("sgd", "adam"),
    "schedule": ("cosine", "one_cycle", "step", "constant"),
    "decay": ("all", "matrices"),
    "loss": ("cross_entropy", "hinge"),
    "precision": ("float32", "bfloat16"),
}


STEPS = (0.5, 0.75)  # fractions of the run at which the schedule "step" divides the step size by ten


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; immutable, comparable, and JSON-able through ``dataclasses.asdict``.

    `decay` "all" decays every parameter (code of B), "matrices" only tensors of rank other than one, thus
    neither biases nor normalisation (code of A). `horizon` is the fraction of the run over which the cosine
    reaches zero, `warmup` the fraction the one-cycle schedule rises for. `noise` is the total norm s of the
    Gaussian noise each image gets afresh at every access, N(0, s²/d) per component, after normalisation
    (paper A Fig. 10). `displacement` is the nominal δ in pixels, at the cut-off `cut`, of the maximum-entropy
    diffeomorphism each image gets afresh at every access, after crop and flip (`relstab.diffeo`); 0 is none.
    The schedule "step" divides the step size by ten after half and after three quarters of the run (`STEPS`).
    `loss` "hinge" is mean relu(1 - y f) for one output and labels 0, 1 (y = -1, +1).
    `precision` "bfloat16" is autocast; weights stay float32.
    `stop_at_zero_loss` ends the run after the first epoch whose mean loss is exactly 0.

    Raises ValueError for an unknown choice or a non-positive number.
    """

    epochs: int
    lr: float
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    decay: str = "all"
    schedule: str = "cosine"
    horizon: float = 1.0
    warmup: float = 0.2
    batch_size: int = 128
    crop: int = 0
    flip: bool = False
    noise: float = 0.0
    loss: str = "cross_entropy"
    precision: str = "float32"
    channels_last: bool = False
    stop_at_zero_loss: bool = False
    displacement: float = 0.0
    cut: int = 3

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}")
        for name in ("epochs", "lr", "batch_size", "horizon"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be positive")
        for name in ("crop", "noise", "weight_decay", "warmup", "momentum", "displacement"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must not be negative")
        kept_modes(self.cut)  # says what is wrong with it


def learning_rate(recipe: Recipe, epoch: float | int) -> float:
    """The step size at `epoch` (a fraction during the one-cycle schedule, which changes every step).

    >>> one = Recipe(epochs=10, lr=0.1, schedule="one_cycle")
    >>> [round(learning_rate(one, t), 3) for t in (0, 1, 2, 6, 10)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    >>> [round(learning_rate(Recipe(epochs=4, lr=0.1, schedule="step"), t), 3) for t in (0, 1.9, 2, 3, 4)]
    [0.1, 0.1, 0.01, 0.001, 0.001]
    """
    if recipe.schedule == "constant":
        return recipe.lr
    if recipe.schedule == "step":
        return recipe.lr * 0.1 ** sum(epoch >= part * recipe.epochs for part in STEPS)
    if recipe.schedule == "cosine":
        return recipe.lr * (1 + math.cos(math.pi * math.floor(epoch) / (recipe.horizon * recipe.epochs))) / 2
    rise = recipe.warmup * recipe.epochs
    if epoch < rise:
        return recipe.lr * epoch / rise
    return recipe.lr * max(0.0, (recipe.epochs - epoch) / (recipe.epochs - rise))


def paper(architecture: str, *, source: str = "B", reading: str = "code", epochs: int = 250,
          augment: bool = True, noise: float = 0.0) -> Recipe:  # fmt: skip
    """The papers' recipe for images: SGD .1 with momentum .9 and cosine, Adam .1 for fully connected nets.

    `source` "A" or "B" decides which parameters decay, `reading` "paper" or "code" the cosine's horizon.
    The fully connected nets are NTK-parametrised with N(0, 1) weights, where Adam's step of 0.1 is a tenth
    of a typical weight; their step size is constant and nothing decays. `augment` (crop by 4 pixels and
    flip) is for CIFAR-10; the papers use none on MNIST and Fashion-MNIST.

    Neither reading selects on the test set, as the authors' code did: the last epoch counts.

    >>> paper("resnet18", reading="paper").horizon, paper("resnet18").horizon, paper("fc_l4").optimizer
    (1.0, 0.8, 'adam')
    """
    if source not in ("A", "B"):
        raise ValueError(f"source is {source!r}; it must be one of A, B")
    if reading not in ("paper", "code"):
        raise ValueError(f"reading is {reading!r}; it must be one of paper, code")
    shared = {"epochs": epochs, "lr": 0.1, "crop": 4 if augment else 0, "flip": augment, "noise": noise}
    if architecture.startswith("fc"):
        return Recipe(**shared, optimizer="adam", schedule="constant", weight_decay=0.0)
    return Recipe(**shared, decay="all" if source == "B" else "matrices", horizon=0.8 if reading == "code" else 1.0)


def normalised(architecture: str) -> bool:
    """Whether an architecture has batch normalisation, which decides the largest stable step size.

    ValueError for one that `relstab.models` does not know: no network is trained by a guess.

    >>> normalised("vgg11_bn"), normalised("vgg11"), normalised("resnet10"), normalised("lenet")
    (True, False, True, False)
    """
    return models.FAMILIES[models.family(architecture)].batch_norm


def one_cycle(
    architecture: str, *, epochs: int = 18, augment: bool = True, noise: float = 0.0, precision: str = "float32"
) -> Recipe:
    """A short recipe for small machines: Nesterov SGD, 20 % linear warm-up, then linearly to zero.

    Peak step size .1 with batch normalisation and .02 without: a rule fixed before any run. The fully
    connected nets keep the paper's Adam, because their NTK parametrisation changes what a step size means.
    Always annealed to zero: while the step size is high R is not monotone in time.

    >>> [learning_rate(one_cycle("vgg11_bn", epochs=10), epoch) for epoch in (1, 2, 10)]
    [0.05, 0.1, 0.0]
    """
    shared = {"epochs": epochs, "schedule": "one_cycle", "crop": 4 if augment else 0, "flip": augment, "noise": noise}
    if architecture.startswith("fc"):
        return Recipe(**shared, lr=0.1, optimizer="adam", weight_decay=0.0)
    return Recipe(
        **shared, lr=0.1 if normalised(architecture) else 0.02, nesterov=True, channels_last=True, precision=precision
    )
