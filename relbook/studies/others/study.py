r"""Networks that others trained and published: does B's law ε ≈ 0.2 √R hold for networks that nobody here touched?

One unit is one network of `networks.json`: rebuilt (`networks`), held to its error, and probed. Rows, by ``kind``:

``network``      status, test_error on the lossless test images, error_jpeg on the same pictures as JPEG, train_error on
                 the training images at hand (CIFAR-10: 8,068 lossless ones), training_images, published_error,
                 parameters, robust, repository, digest
``sensitivity``  D, G, R at the output, columns as in `relbook.studies.zoo.study` and R_low, R_high: 95 % over images
and
                 draws. Stage "init" is a fresh initialisation, torch's own, read with batch statistics
``profile``      D, G, R by layer, trained and at initialisation, statistic "mean", one draw
``sweep``        R against δ at the output, both interpolations, on the first `sweep_probes` images
``shuffled``     the profile with shuffled channels, BatchNorm's statistics ``recorded`` or ``re-estimated`` on training
                 images (column batch_norm); re-estimated only where there is BatchNorm

At the output one row a statistic ("mean", "median", "component_median"). All networks see the same deformations and
the same noise, those of the zoo. Weights are never published: rows name repository and digest. At scale tiny
two networks are trained on the spot, in seconds.

>>> from relbook.studies.others import study
>>> [(unit.name, type(unit).__name__) for unit in study.configs("tiny")][::2]
[('tiny_chain', 'Network'), ('tiny_chain', 'Matched')]
"""

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from relbook import scales
from relbook.studies.datasets import loaded, test_images
from relbook.studies.others import networks
from relstab import data
from relstab.models import surgery
from relstab.probes import layers as reading
from relstab.probes import moments
from relstab.probes.perturbations import perturbations
from relstab.probes.sensitivity import point_values
from relstab.random import seeded
from relstab.train import error_rate, fit
from relstab.train.recipes import Recipe

TABLE = Path(__file__).with_name("networks.json")
WEIGHTS = "others/weights"  # folder of state dicts, NAME.pt, in a folder of the user's data
CIFAR = "cifar10-lossless-8k"  # all lossless images at hand
TRAINING_IMAGES = 10000  # at most so many are classified for the training error
RESAMPLES = 1000
FEW_RESAMPLES = 200  # for the sweep and what is read beside the main measurement
BATCH = 100  # images a forward pass, three times as many
INTERPOLATIONS = ("bilinear", "gaussian")
_CHAIN = (["conv", 1, 8, 3, 1, 1, 1, True], ["relu"], ["maxpool", 2, 2, 0], ["conv", 8, 16, 3, 1, 1, 1, True], ["relu"],
          ["maxpool", 2, 2, 0], ["flatten"], ["linear", 784, 10, True])  # fmt: skip
_NORMED = (["conv", 1, 8, 3, 1, 1, 1, False], ["bn2", 8, 1e-5], ["relu"], ["maxpool", 2, 2, 0],
           ["conv", 8, 16, 3, 1, 1, 1, False], ["bn2", 16, 1e-5], ["relu"], ["gap"], ["flatten"],
           ["linear", 16, 10, True])  # fmt: skip
ON_THE_SPOT = [
    {
        "name": name,
        "repository": f"made on the spot ({name})",
        "commit": "",
        "path": "",
        "licence": "",
        "robust": False,
        "dataset": "fashion-mini",
        "architecture": short,
        "norm": "half",
        "published_error": None,
        "note": "",
        "parameters": 0,
        "million_macs": 0.2,
        "digest": "",
        "spec": {"kind": "seq", "layers": [list(layer) for layer in layers]},
    }
    for name, short, layers in (
        ("tiny_chain", "c8k3p1 mp c16k3p1 mp fc10", _CHAIN),
        ("tiny_batch_norm", "c8k3p1 bn mp c16k3p1 bn gap fc10", _NORMED),
    )
]


@dataclass(frozen=True)
class Network:
    """One network of others: everything its numbers depend on, beside its tensors and the images.

    Args:
        dataset: what it is measured on: "cifar10-lossless" (trained on CIFAR-10) or "mnist".
        probes: test images in a measurement, the first ones (the papers: 500).
        init_probes: as many at initialisation, where all of them must pass together.
        draws: deformations and noises an image, for D, G, R at the output at c = 3.
        cuts: cut-offs c at the output; the first is that of profiles and sweep.
        sweep_probes: images of the sweep over δ and of the shuffles.

    The other fields are those by which tables and figures of the zoo tell networks apart.
    """

    study: ClassVar[str] = "others"
    version: ClassVar[int] = 1
    scale: str
    name: str
    dataset: str
    architecture: str
    probes: int = 500
    init_probes: int = 128
    draws: int = 3
    cuts: tuple[int, ...] = (3, 5)
    displacements: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    sweep_probes: int = 200
    shuffles: int = 2
    recipe: str = "published"
    seed: int = 0
    width: float = 1.0
    train_size: int = 0
    noise: float = 0.0
    augment: bool = False
    epochs: int = 0

    @property
    def entry(self) -> dict[str, Any]:
        """The network's line of the table."""
        return entries(self.scale)[self.name]

    def data_digest(self) -> str:
        """The images, the description and the tensors."""
        described = json.dumps([self.entry["spec"], self.entry["norm"]], sort_keys=True)
        images = "-".join(map(data.digest, sources(self.dataset)))
        parts = [images, hashlib.sha256(described.encode()).hexdigest()[:16], self.entry["digest"]]
        if self.scale != "tiny":
            weights_file(self.entry)  # which `tensors` holds to the digest
        return "-".join(parts)

    def require(self, *, download: bool = True) -> None:
        """Raise FileNotFoundError, with where to get them, when images or tensors are missing on this machine."""
        for name in sources(self.dataset):
            data.require(name, download=download)
        if self.scale != "tiny":
            weights_file(self.entry)

    @property
    def cost_minutes(self) -> float:
        """Estimated minutes on one core, from its multiplications an image; on a GPU, guessed to be 50 times faster."""
        images = 3 * self.probes * (self.draws + len(self.cuts) + 1) + 3 * self.sweep_probes * (
            len(INTERPOLATIONS) * len(self.displacements) + 2 * self.shuffles
        )
        return self._minutes(0.1, images + 3 * 2 * self.init_probes + TRAINING_IMAGES)

    def _minutes(self, start: float | int, images: int) -> float:
        """A start and the passes of so many images."""
        minutes = start + images * self.entry["million_macs"] / 8e3 / 60
        return round(minutes / (50 if self.scale in ("gpu", "paper") else 1), 2)

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Rebuild, classify, probe."""
        sets, entry = image_sets(self.dataset), self.entry
        fresh = self.fresh(device)
        rows = self.outputs(fresh, sets["test"], "init") + self.profile(fresh, "init")
        model = self.trained(device)
        row = {"kind": "network", "status": "ok", "published_error": entry["published_error"],
               "repository": entry["repository"], "digest": entry["digest"], "robust": entry["robust"],
               "training_images": len(sets["train"]),
               "parameters": sum(parameter.numel() for parameter in model.parameters())}  # fmt: skip
        for name, images in sets.items():
            column = {"test": "test_error", "train": "train_error", "jpeg": "error_jpeg"}[name]
            row[column] = error_rate(model, images.images, images.labels, normalise=self.normalise, batch_size=200)
        if progress:
            progress(f"{self.name}: test error {row['test_error']:.3f}, training error {row['train_error']:.3f}")
        rows += self.outputs(model, sets["test"], "trained", draws=self.draws) + self.profile(model, "trained")
        for cut in self.cuts[1:]:
            rows += self.outputs(model, sets["test"], "trained", cut=cut)
        if "jpeg" in sets:
            rows += self.outputs(model, sets["jpeg"], "trained", images="cifar10-jpeg")
        for displacement in self.displacements:
            for interpolation in INTERPOLATIONS:
                rows += self.outputs(model, sets["test"], "trained", kind="sweep", probes=self.sweep_probes,
                                     displacement=displacement, interpolation=interpolation)  # fmt: skip
        for draw in range(self.shuffles):
            shuffled = surgery.shuffle_channels(model, generator=seeded("shuffle", draw))
            nets = {"recorded": shuffled}
            if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules()):
                training = self.normalise(sets["train"].images[: self.probes]).to(device)
                nets["re-estimated"] = with_statistics_of(shuffled, training)
            for batch_norm, net in nets.items():
                rows += self.profile(
                    net, "trained", kind="shuffled", probes=self.sweep_probes, shuffle=draw, batch_norm=batch_norm
                )
        return [row, *rows]

    def fresh(self, device: str | torch.device) -> nn.Module:
        """The architecture at a fresh initialisation."""
        return networks.build(self.entry["spec"], seed=self.seed).to(device, memory_format=torch.channels_last)

    def trained(self, device: str | torch.device) -> nn.Module:
        """The network with its tensors."""
        model = networks.fill(networks.build(self.entry["spec"]), tensors(self))
        return model.to(device, memory_format=torch.channels_last)

    def normalise(self, images: Tensor) -> Tensor:
        """Pixels as the network's source normalised them."""
        return data.normalise(images, *networks.norm(self.entry["norm"], images.shape[1]))

    def inputs(self, model: nn.Module, split: data.Split, probes: int) -> Tensor:
        """The first `probes` images as the network takes them."""
        images = self.normalise(split.images[:probes]).to(next(model.parameters()).device)
        return images.contiguous(memory_format=torch.channels_last)

    def label(self, stage: str, *, kind: str = "sensitivity", images: str | None = None, shuffle: int = -1,
              displacement: float | int = 1.0, cut: int | None = None, interpolation: str = "bilinear",
              **more: Any) -> dict[str, Any]:  # fmt: skip
        """The columns that say what a row was measured with."""
        return {
            "kind": kind,
            "stage": stage,
            "images": images or self.dataset,
            "shuffle": shuffle,
            "displacement": displacement,
            "cut": cut or self.cuts[0],
            "interpolation": interpolation,
            **more,
        }

    def outputs(self, model: nn.Module, split: data.Split, stage: str, *, draws: int = 1, probes: int | None = None,
                displacement: float | int = 1.0, cut: int | None = None, interpolation: str = "bilinear",
                noise: str = "white", **label: Any) -> list[dict]:  # fmt: skip
        """Rows of D, G, R at the output, one a statistic, with the interval of R."""
        fresh = stage == "init"
        images = self.inputs(model, split, probes or (self.init_probes if fresh else self.probes))
        found = [
            responses(model, images, displacement=displacement, cut=cut or self.cuts[0], interpolation=interpolation,
                      noise=noise, draw=draw, batch_statistics=fresh)
            for draw in range(draws)
        ]  # fmt: skip
        label = self.label(stage, displacement=displacement, cut=cut, interpolation=interpolation, **label)
        return [
            {
                **label,
                "statistic": statistic,
                "layer": "output",
                "images_probed": len(images),
                "draws_probed": draws,
                **numbers,
            }
            for statistic, numbers in summaries(found, resamples=RESAMPLES if draws > 1 else FEW_RESAMPLES).items()
        ]

    def profile(
        self, model: nn.Module, stage: str, *, probes: int | None = None, noise: str = "white", **label: Any
    ) -> list[dict]:
        """Rows of D, G, R by layer, statistic "mean", one draw."""
        fresh = stage == "init"
        images = self.inputs(
            model, image_sets(self.dataset)["test"], probes or (self.init_probes if fresh else self.probes)
        )
        table = point_values(
            model, images, layers="blocks", displacement=1.0, cut=self.cuts[0], statistic="mean", noise=noise,
            batch_size=BATCH, batch_statistics=fresh, generator=seeded("probe"),
        )  # fmt: skip
        label = self.label(stage, **{"kind": "profile"} | label)
        label |= {"statistic": "mean", "images_probed": len(images), "draws_probed": 1}
        return [{**label, **row} for row in table.to_dict("records")]


@dataclass(frozen=True)
class Matched(Network):
    """The same network against noise with the spectrum of the change by the deformation, and nothing else.

    A `Network` less what it does not use: cut-offs after the first, sweep, shuffles.
    """

    spectrum: str = "matched"

    @property
    def cost_minutes(self) -> float:
        """Estimated minutes on one core, as a network's."""
        return self._minutes(0.03, 3 * self.probes * (self.draws + 1) + 3 * 2 * self.init_probes)

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Rebuild, probe."""
        test, rows = image_sets(self.dataset)["test"], []
        for net, stage, draws in ((self.trained(device), "trained", self.draws), (self.fresh(device), "init", 1)):
            rows += self.outputs(net, test, stage, draws=draws, noise=self.spectrum, kind="matched")
            rows += self.profile(net, stage, noise=self.spectrum, kind="matched_profile")
        return rows


def responses(
    model: nn.Module,
    images: Tensor,
    *,
    displacement: float | int,
    cut: int,
    interpolation: str = "bilinear",
    noise: str = "white",
    draw: int = 0,
    batch_statistics: bool = False,
) -> np.ndarray:
    """f(x), f(τx) and f(x + η) at the output, float64 [3, image, component]; draw 0 is the zoo's τ and η."""
    chunks = perturbations(
        images,
        displacement=displacement,
        cut=cut,
        interpolation=interpolation,
        noise=noise,
        generator=seeded("probe", draw) if draw else seeded("probe"),
    )
    parts = []
    with reading.undisturbed(model, images.device, batch_statistics=batch_statistics, sets=3):
        for triple in chunks(len(images) if batch_statistics else BATCH, images.device):
            parts.append(model(torch.cat(triple)).flatten(1).unflatten(0, (3, -1)).double().cpu())
    return torch.cat(parts, 1).numpy()


def summaries(found: Sequence[np.ndarray], *, resamples: int = RESAMPLES) -> dict[str, dict[str, float]]:
    r"""D, G, R of every statistic, from responses [3, image, component], one set a draw, and R's 95 % interval.

    Means and medians are over images and draws together. The interval is the bootstrap over images, each with all its
    draws; the normaliser cancels in R.

    >>> x = np.arange(12.0).reshape(6, 2)
    >>> summaries([np.stack([x, x + 1, x + 2])])["mean"]["R"]
    0.25
    """
    clean = found[0][0]
    tau, eta = (
        np.stack([(part[index] - clean) ** 2 for part in found]) for index in (1, 2)
    )  # [draw, image, component]
    picks = np.random.default_rng(0).integers(len(clean), size=(resamples, len(clean)))
    pairs = moments._pair_distances(clean)
    table = {}
    for statistic in moments.STATISTICS:
        normaliser = float(pairs.mean() if statistic == "mean" else np.median(pairs))
        D, G = (numerator(change, statistic) for change in (tau, eta))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = [numerator(tau[:, pick], statistic) / numerator(eta[:, pick], statistic) for pick in picks]
            values = np.array([D, G]) / (normaliser if normaliser > 0 else np.nan)
            low, high = np.quantile(ratios, (0.025, 0.975))
            table[statistic] = {"D": float(values[0]), "G": float(values[1]), "R": float(np.divide(D, G)),
                                "R_low": float(low), "R_high": float(high)}  # fmt: skip
    return table


def numerator(changes: np.ndarray, statistic: str) -> float:
    """Mean or median over images and draws of the squared norm, or the sum over components of medians."""
    if statistic == "component_median":
        return np.median(changes.reshape(-1, changes.shape[-1]), 0).sum()
    squares = changes.sum(-1)
    return squares.mean() if statistic == "mean" else np.median(squares)


@torch.no_grad()
def with_statistics_of(model: nn.Module, images: Tensor) -> nn.Module:
    """Copy of a network whose BatchNorm layers carry the statistics of these images, and nothing of older ones."""
    model = copy.deepcopy(model)
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain average over the batches that follow
        norm.train()
    for part in images.split(BATCH):
        model(part)
    return model.eval()


# Images, tensors, units -----------------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def image_sets(dataset: str) -> dict[str, data.Split]:
    """{"test", "train" and, for CIFAR-10, "jpeg"}: the images on which the networks of a data set are measured."""
    known = loaded(dataset)
    if dataset != "cifar10-lossless":
        return {"test": known.test, "train": known.train.take(slice(0, TRAINING_IMAGES))}
    return {"test": known.test, "train": loaded(CIFAR).train, "jpeg": test_images("cifar10-jpeg", "cifar10-jpeg")}


def sources(dataset: str) -> tuple[str, ...]:
    """The data sets from which `image_sets` takes its images."""
    return (dataset, CIFAR, "cifar10-jpeg") if dataset == "cifar10-lossless" else (dataset,)


def weights_file(entry: Mapping) -> Path:
    """The file with a network's tensors; FileNotFoundError says where it was looked for and where they come from."""
    places = data.user_folders()
    name = entry.get("file") or f"{WEIGHTS}/{entry['name']}.pt"
    for place in places:
        if (place / name).is_file():
            return place / name
    looked = f"in {', '.join(map(str, places))} (RELSTAB_DATA adds a folder)"
    if not any((place / name).parent.is_dir() for place in places):
        raise FileNotFoundError(
            f"the networks of public repositories were not found: there is no {Path(name).parent} {looked}; "
            f"{TABLE.name} of the study names repository, commit and file of each"
        )
    source = f"{entry['path'] or 'a file'} of the public repository {entry['repository']}"
    commit = f" at commit {entry['commit']}" if entry["commit"] else ""
    raise FileNotFoundError(
        f"the weights of {entry['name']} were not found: there is no {name} {looked}; they are the tensors of "
        f"{source}{commit}, saved by torch.save as a state dict"
    )


def tensors(unit: Network) -> dict[str, Tensor]:
    """The state dict of a unit's network; ValueError where it is not the one of the table."""
    if unit.scale == "tiny":
        return trained_on_the_spot(unit)
    file = weights_file(unit.entry)
    state = torch.load(file, map_location="cpu", weights_only=True)
    found = networks.digest(state)
    if found != unit.entry["digest"]:
        raise ValueError(f"{file} is not the network of the table: its digest is {found}, not {unit.entry['digest']}")
    return state


def trained_on_the_spot(unit: Network) -> dict[str, Tensor]:
    """The state dict of a small network after a few epochs on the training images."""
    model = networks.build(unit.entry["spec"], seed=unit.seed)
    recipe = Recipe(epochs=6, lr=0.05, weight_decay=0.0)
    fit(model, image_sets(unit.dataset)["train"], recipe, normalise=unit.normalise, seed=unit.seed)
    return model.state_dict()


@lru_cache(maxsize=2)
def entries(scale: str) -> dict[str, dict]:
    """{name: line of the table}; at scale tiny the networks made on the spot."""
    table = ON_THE_SPOT if scale == "tiny" else json.loads(TABLE.read_text(encoding="utf-8"))
    return {entry["name"]: entry for entry in table}


def configs(scale: str) -> list:
    """The units of a scale, the fastest networks first; then the same networks against matched noise."""
    options = scales.OTHERS[scales.check(scale)]
    return [
        config(scale=scale, name=entry["name"], dataset=entry["dataset"], architecture=entry["architecture"], **options)
        for config in (Network, Matched)
        for entry in entries(scale).values()
    ]
