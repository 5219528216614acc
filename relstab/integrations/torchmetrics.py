r"""D, G and R as a metric of torchmetrics, whose states are sums over images: right under DDP.

$$D = \frac{\langle\|f(\tau x) - f(x)\|^2\rangle}{\Delta}, \quad
  G = \frac{\langle\|f(x+\eta) - f(x)\|^2\rangle}{\Delta},
  \quad \Delta = 2\left(\langle\|f\|^2\rangle - \|\langle f\rangle\|^2\right), \quad R = \frac DG$$

(A Eq. 1, B Eqs. 4-5), with averages over all images that any process has seen.

τ and η of an image follow from the seed and from the image's own pixels. So an image meets the same deformation and
the same noise in every epoch and on every device, in whatever batch and on whatever process it comes, and two
processes give the numbers of one.

>>> import torch
>>> from relstab.integrations.torchmetrics import RelativeStability
>>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 10))
>>> metric = RelativeStability(model, displacement=0.5)
>>> for batch in torch.rand(8, 1, 16, 16).split(4):
...     metric.update(batch)
>>> sorted(metric.compute())
['D', 'G', 'R']
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from relstab import diffeo, vision
from relstab.extras import extra
from relstab.probes import layers as reading
from relstab.probes.sensitivity import check_inputs

__all__ = ["RelativeStability"]

if vision is not None:  # torchmetrics imports torchvision, which may need the operators that vision declares
    torchmetrics = extra("torchmetrics", "relstab.integrations.torchmetrics")


class RelativeStability(torchmetrics.Metric):
    r"""Relative stability $R = D/G$ of a network to diffeomorphisms, over the images of all updates.

    Args:
        model: any module that `relstab.sensitivity` takes; it is run in evaluation mode and left as it was found. It
            is no part of the metric: not in its state dict, and not moved with it.
        layers: "output", the name of a module, or a list of such names.
        displacement: typical displacement δ of τ in pixels (nominal, B Eq. 3).
        cut: cut-off c of τ.
        interpolation: "bilinear", "gaussian" or "nearest", as `relstab.diffeo.warp`.
        seed: of τ and η, which also depend on the pixels of their image.
        **options: of `torchmetrics.Metric`, such as dist_sync_on_step.

    `update(images)` takes float images [image, channel, height, width], normalised as the network expects.
    `compute()` returns {"D", "G", "R"} as float32 tensors; for a list of layers the keys are "layer/D" and so on.
    They are NaN before two images were seen, or where all have the same features. Under DDP each process must have
    seen a batch.

    Raises ValueError for what `relstab.sensitivity` refuses.

    BatchNorm that never saw data normalises by the statistics of each update, as in `relstab.sensitivity`.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> metric = RelativeStability(model, layers=["2", "output"], displacement=0.3)
    >>> metric.update(torch.rand(4, 1, 8, 8))
    >>> list(metric.compute())
    ['2/D', '2/G', '2/R', 'output/D', 'output/G', 'output/R']
    """

    is_differentiable = False
    higher_is_better = None
    full_state_update = False

    def __init__(
        self,
        model: nn.Module,
        layers: str | Sequence[str] = "output",
        *,
        displacement: float = 1.0,
        cut: int = 3,
        interpolation: str = "bilinear",
        seed: int = 0,
        **options: Any,
    ):
        super().__init__(**options)
        names = [layers] if isinstance(layers, str) else list(layers)
        if not names or len(set(names)) < len(names):
            raise ValueError(f"layers is {layers!r}; it must name at least one layer, each once")
        diffeo.temperature(displacement, cut, 2)  # says what is wrong with a displacement or a cut
        # In a tuple, or the model would be a module of the metric, and of itself where it holds the metric.
        self._probed = (reading.unwrapped(model),)
        self._single, self._names = isinstance(layers, str), names
        self._chosen = None
        self.displacement, self.cut = displacement, cut
        self.interpolation, self.seed = interpolation, seed
        self.add_state("images", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        for index in range(len(names)):
            for name in ("tau", "eta", "square", "total"):
                state = torch.zeros((), dtype=torch.float64)
                self.add_state(f"{name}_{index}", state, dist_reduce_fx="sum")

    def update(self, images: Float[Tensor, "image channel height width"]) -> None:
        """Add a batch: one forward pass of x, τx and x + η together."""
        check_inputs(rank=4, images=images if len(images) > 1 else images.repeat(2, 1, 1, 1))
        (model,) = self._probed
        own = next((value for value in model.parameters() if value.is_floating_point()), images)
        images = images.detach().to(own.device)
        with reading.undisturbed(model, own.device, batch_statistics=None, sets=3):
            clean, deformed, noisy = self._perturbed(images)
            stacked = torch.cat([clean, deformed, noisy]).to(own.dtype)
            keys = self._keys(model, stacked[: len(images)])

            def visit(key, output):
                if key in keys:
                    self._add(keys.index(key), reading.features(output, len(stacked)), len(images))

            reading.sweep(model, stacked, visit, {name for name, call in keys if call > 0})
        self.images += len(images)

    def compute(self) -> dict[str, Tensor]:
        """D, G and R over everything seen since the last reset, on all processes."""
        found = {}
        for index, name in enumerate(self._names):
            tau, eta, square, total = (getattr(self, f"{part}_{index}") for part in ("tau", "eta", "square", "total"))
            variance = square / self.images - (total / self.images).square().sum()
            # Of numbers that are equal but for rounding there is no variance.
            seen = (self.images > 1) & (variance > 1e-12 * square / self.images)
            normaliser = torch.where(seen, 2 * variance, torch.nan) * self.images
            values = {"D": tau / normaliser, "G": eta / normaliser, "R": torch.where(seen, tau / eta, torch.nan)}
            found |= {key if self._single else f"{name}/{key}": value.float() for key, value in values.items()}
        return found

    def _perturbed(self, images: Float[Tensor, "image channel height width"]) -> tuple[Tensor, Tensor, Tensor]:
        """(x, τx, x + η), ‖η_i‖ = ‖τx_i − x_i‖; with "gaussian", which blurs, x is blurred, too."""
        coefficients, directions = [], []
        for image in images.float().cpu():
            digest = hashlib.blake2b(image.numpy().tobytes(), digest_size=8, key=str(self.seed).encode())
            generator = torch.Generator().manual_seed(int.from_bytes(digest.digest(), "big"))
            coefficients.append(diffeo.sample_coefficients(1, self.cut, generator=generator))
            directions.append(torch.randn(image.shape, generator=generator))
        size = tuple(images.shape[-2:])
        temperature = diffeo.temperature(self.displacement, self.cut, size)
        field = diffeo.displacement_field(torch.cat(coefficients).to(images), temperature, size)
        clean = images if self.interpolation != "gaussian" else diffeo.warp(images, 0 * field, "gaussian")
        deformed = diffeo.warp(images, field, self.interpolation)
        eta = torch.stack(directions).to(images)
        scale = (deformed - clean).flatten(1).norm(dim=1) / eta.flatten(1).norm(dim=1)
        return clean, deformed, clean + eta * scale.reshape(-1, 1, 1, 1)

    def _keys(self, model: nn.Module, images: Tensor) -> list[tuple[str, int]]:
        """The reading points, which the first update finds and tries."""
        if self._chosen is None:
            if len(images) > 1:
                sets = 3 if reading.norms_by_batch(model, None) else 1
                chosen = reading.choose_faithful(model, images, self._names, sets=sets)
            else:
                chosen = reading.choose(model, reading.trace(model, images), self._names)
            at = {layer.label: layer.key for layer in chosen}
            if set(at) != set(self._names):
                raise ValueError(f"layers is {self._names!r}; each must be a layer that runs once, not {sorted(at)}")
            self._chosen = [at[name] for name in self._names]
        return self._chosen

    def _add(self, index: int, features: Tensor | None, count: int) -> None:
        """Sums over the images of a batch, in float64; features [3 image, ...]."""
        if features is None or len(features) != 3 * count:
            raise ValueError(f"layers: {self._names[index]!r} does not return one row an image")
        clean, deformed, noisy = features.flatten(1).to(self.images.device, torch.float64).chunk(3)
        sums = {
            "tau": (deformed - clean).square().sum(),
            "eta": (noisy - clean).square().sum(),
            "square": clean.square().sum(),
            "total": clean.sum(0),
        }
        for name, value in sums.items():
            setattr(self, f"{name}_{index}", getattr(self, f"{name}_{index}") + value)
