r"""The zoo: networks trained on images, and D, G, R at every depth (A Secs. 1-2, B Secs. 3-5).

One unit is one network: it is built, probed, trained, probed again, shuffled and probed again. Its rows are
of three kinds (column ``kind``):

``sensitivity``  stage (init, trained), images (the data set probed), shuffle (-1 or the number of the draw),
                 displacement, cut, interpolation, statistic, layer, depth, relative_depth, D, G, R
``training``     status (ok, diverged, collapsed), test_error, train_loss, train_error, trained_epochs,
                 seconds, images_per_second, parameters, weights (their digest); error_lossless and error_jpeg on
                 the same pictures in both encodings for "cifar10-jpeg"; published_error for networks trained by others
``modes``        epoch, layer, depth, gamma_0 ... gamma_6: mean squared projection of the 3 x 3 filters on the
                 grid Laplacian's modes with eigenvalue 0, 1, 2, 3, 4, 6 (paper A, Eq. 3)

All networks are probed with the same deformations and the same noise directions. Networks that somebody else
trained (recipe ``published``) are only probed, beside a fresh initialisation of the same architecture. On a GPU
the training step is compiled, with CUDA graphs.

>>> from relbook.studies.zoo import study as zoo
>>> unit = zoo.configs("tiny")[0]
>>> unit.study, unit.scale
('zoo', 'tiny')
"""

import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from relbook import scales
from relbook.studies.datasets import OfArchitecture, OnImages, digest, loaded, training_images, untrained
from relbook.studies.zoo.probes import errors, measure, modes
from relstab import data
from relstab.data.normalisations import NORMALISATIONS
from relstab.store import origin, records
from relstab.train import checkpoints, fit, recipes

PUBLISHED_ERROR = {
    "cifar_resnet20": 0.0827,
    "cifar_resnet32": 0.0737,
    "cifar_resnet44": 0.0690,
    "cifar_resnet56": 0.0661,
}
# Milliseconds a step of 128 images at width 1/4 on one core (bfloat16; EfficientNet float32), measured once,
# for the estimates of `relstab study --dry-run`.
STEP_MS = {"fc": 2.4, "lenet": 10, "alexnet": 17, "vgg11": 35, "vgg13": 53, "vgg16": 75, "vgg19": 97,
           "resnet10": 67, "resnet18": 116, "resnet34": 220, "resnet50": 300, "resnet101": 600,
           "efficientnet": 165, "cifar_resnet": 26}  # fmt: skip


@dataclass(frozen=True)
class Network(OnImages, OfArchitecture):
    """One network of the zoo: everything its numbers depend on.

    Args:
        dataset: what it is trained on; a "cifar10-jpeg" network is probed on the lossless test images and on the
            same images as JPEG.
        width: factor on the channels of the architecture.
        train_size: number of training images P, a random subset that depends on the seed; 0 is all of them.
        noise: total norm of the Gaussian noise on training and test images (A Figs. 1 and 10).
        recipe: "one_cycle", "a_paper", "a_code", "b_paper", "b_code" (`relstab.train.recipes`), or "published".
        probes: number of test images in a measurement, the first ones (the papers: 500).
        shuffles: channel shuffles of the trained network that are probed.
        cuts: cut-offs c of the measurements at the output; the profiles have c = 3.
        displacements: if any, R against δ at the output for all cuts and both interpolations (B Fig. 3, left).
    """

    study: ClassVar[str] = "zoo"
    spread: ClassVar[float] = 0.25  # of most rows over kinds of processors (`relbook.audit`)
    compiled: ClassVar[bool] = True  # on a GPU
    scale: str
    dataset: str
    architecture: str
    width: float = 1.0
    train_size: int = 0
    noise: float = 0.0
    augment: bool = False
    recipe: str = "one_cycle"
    epochs: int = 0
    precision: str = "float32"
    seed: int = 0
    probes: int = 500
    shuffles: int = 0
    cuts: tuple[int, ...] = (3,)
    displacements: tuple[float, ...] = ()

    def data_digest(self) -> str:
        """What the rows depend on beside the fields: the bytes of the data sets and of published weights."""
        parts = [digest(self.dataset)]
        if self.recipe == "published":
            parts.append(hashlib.sha256(published_file(self.architecture).read_bytes()).hexdigest())
        return "-".join(parts)

    def require(self, *, download: bool = True) -> None:
        """Raise FileNotFoundError when data or published weights are missing on this machine."""
        super().require(download=download)
        if self.recipe == "published":
            published_file(self.architecture)

    @property
    def cost_minutes(self) -> float:
        """Estimated minutes of training on one core, from step times at width 1/4; at the scales "gpu" and
        "paper" on a GPU, guessed to be 300 times faster, with no step below 1 ms."""
        if self.recipe == "published":
            return 0.5
        step = step_ms(self)
        return round(self.epochs * math.ceil(training_images(self) / 128) * step / 60000, 4)

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Train and probe; with a `workspace` there are checkpoints, and weights in `weights_file(self)`."""
        dataset, device = loaded(self.dataset), torch.device(device)
        model = self.build().to(device, memory_format=torch.channels_last)
        rows = measure(self, model, "init")
        if self.recipe == "published":
            model.load_state_dict(torch.load(published_file(self.architecture), device, weights_only=True))
            training = {"status": "ok", "published_error": PUBLISHED_ERROR[self.architecture]}
            snapshots = []
        else:
            split = dataset.train
            if self.train_size:
                split = data.random_subset(split, self.train_size, seed=self.seed)
            result = fit(
                model, split, self.training(), normalise=dataset.normalise, seed=self.seed, device=device,
                checkpoint=workspace and workspace / "checkpoint.pt", progress=progress,
                snapshots=modes if self.architecture.startswith("vgg") else None,
                compile=self.compiled and device.type == "cuda",
            )  # fmt: skip
            last = result.history[-1]
            training = {
                "status": result.status,
                "train_loss": last["loss"],
                "train_error": last["error"],
                "trained_epochs": last["epoch"],
                "seconds": result.seconds,
                "images_per_second": result.images_per_second,
            }
            snapshots = result.snapshots
        if workspace is not None:
            state = {"identity": records.fields(self), "code": origin.code(), "model": model.state_dict()}
            checkpoints.save(state, weights_file(self))
        if training["status"] != "diverged":
            rows += measure(self, model, "trained")
            training |= errors(self, model)
        training["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        training["weights"] = checkpoints.weights_digest(model)
        return [{"kind": "training", **training}, *rows, *({"kind": "modes", **row} for row in snapshots)]

    def build(self) -> torch.nn.Module:
        """The network at its own initialisation, which depends on architecture, width and seed."""
        return untrained(self, loaded(self.dataset))

    def training(self) -> recipes.Recipe:
        """The recipe with this unit's epochs, augmentation, noise and precision."""
        options = {"epochs": self.epochs, "augment": self.augment, "noise": self.noise}
        if self.recipe == "one_cycle":
            return recipes.one_cycle(self.architecture, precision=self.precision, **options)
        source, _, reading = self.recipe.partition("_")
        return recipes.paper(self.architecture, source=source.upper(), reading=reading, **options)

    def normalise(self, images: Tensor) -> Tensor:
        """Raw images of the data set to what the network takes."""
        if self.recipe == "published":
            return data.normalise(images, *NORMALISATIONS["imagenet"])
        return loaded(self.dataset).normalise(images)


def step_ms(unit: Any) -> float:
    """Estimated milliseconds of a training step of 128 images, by the unit's architecture, width and scale."""
    family = next(name for name in STEP_MS if unit.architecture.startswith(name))
    growth = 0 if family in ("fc", "lenet") else 1.0 if unit.width < 0.25 else 1.6
    step = STEP_MS[family] * (unit.width / 0.25) ** growth
    return max(1.0, step / 300) if unit.scale in ("gpu", "paper") else step


def published_file(architecture: str) -> Path:
    """The file of a network trained by somebody else; FileNotFoundError says where it was looked for."""
    name = Path("pretrained", f"{architecture.replace('cifar_', 'cifar10_')}.pt")
    places = data.user_folders()
    for place in places:
        if (place / name).is_file():
            return place / name
    raise FileNotFoundError(
        f"the published weights of {architecture} were not found: there is no {name} in "
        f"{', '.join(map(str, places))} (RELSTAB_DATA adds a folder); it is the state dict of the network in the "
        "public repository akamaster/pytorch_resnet_cifar10, saved without the container around it"
    )


def weights_file(unit: Any) -> Path:
    """Where the weights of a trained unit are kept, inside the working store; they are not published."""
    from relstab import store  # for its folder alone: results go the other way

    return store.working() / "weights" / Path(records.file_name(unit, records.key(unit))).with_suffix(".pt")


def trained(unit: Any) -> nn.Module:
    """The trained network of a unit, in evaluation mode, for other measures on the same nets.

    Raises FileNotFoundError when the unit has not been run with this working store, or by other code.
    """
    model = unit.build().eval()
    if unit.recipe == "published":
        model.load_state_dict(torch.load(published_file(unit.architecture), weights_only=True))
        return model
    state = checkpoints.load(weights_file(unit), records.fields(unit))
    if state is None:
        raise FileNotFoundError(f"{weights_file(unit)} does not exist; run the unit first")
    if state["code"] != origin.code():
        raise FileNotFoundError(f"{weights_file(unit)} was made by other code; run the unit again")
    model.load_state_dict(state["model"])
    return model


def configs(scale: str) -> list:
    """The units of a scale, in the order of their value per minute."""
    return list(_units(scales.check(scale)))


@functools.cache
def _units(scale: str) -> tuple:
    return tuple(dict.fromkeys(unit for block in scales.ZOO[scale] for unit in expand(scale, block)))


def expand(scale: str, block: Mapping, kind: type = Network) -> Iterator:
    """A block of the table in `relbook.scales` as units: the product of its networks and of its lists.

    A list is an axis; `nets` gives (architecture, width, epochs), or with `steps` of the block (architecture,
    width), trained for that many steps whatever the training-set size; with neither, units that do not train.

    Args:
        kind: the units' dataclass.
    """
    block = dict(block)
    nets, steps = block.pop("nets"), block.pop("steps", None)
    axes = {name: value for name, value in block.items() if isinstance(value, list)}
    fixed = {name: value for name, value in block.items() if name not in axes}
    unknown = set(block) - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"the table of {kind.study} has the unknown field {', '.join(sorted(unknown))}")
    for values in itertools.product(*axes.values()):
        for architecture, width, *epochs in nets:
            unit = {
                **fixed,
                **dict(zip(axes, values, strict=True)),
                "architecture": architecture,
                "width": float(width),
            }
            if epochs:
                unit["epochs"] = epochs[0]
            elif steps:
                unit["epochs"] = math.ceil(steps / math.ceil(unit["train_size"] / 128))
            yield kind(scale=scale, **unit)
